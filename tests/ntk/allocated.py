"""What work allocates at once, as torch's own profiler counts it."""

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile


def peak(work: Callable[[], Any]) -> int:
    """The most bytes that are allocated at once while it works, above what there is before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    held, most = 0, 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most
