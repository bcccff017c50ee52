"""How long calls take, fairly: interleaved, each after a warm-up of its own, medians."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_count, check_type
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import student_t

_CALLS = 2  # timed ones, after one that is not


@dataclass(frozen=True, eq=False)
class Latencies(Result):
    """What `latencies` returns: how long each arm takes, beside the first.

    Args:
        reading: "latency", "fastest" (arm): median and minimum over rounds of the seconds a call takes; "log speedup"
            (block, arm): median over the rounds of a block of the logarithm of how many times faster it is than the
            first arm; "speedup" (arm): how many times over all rounds.
    """

    @property
    def arms(self) -> list[str]:
        """Their names, the reference first."""
        return self.reading.coordinate("arm").tolist()

    def least(self, level: float = 0.95) -> NDArray[np.float64]:
        """The lower ends of two-sided intervals of the speed-ups, by Student's t over blocks on the logarithm: (arms,).

        >>> import thalweg as tw
        >>> arms = {"few": lambda: sum(range(100)), "many": lambda: sum(range(10_000))}
        >>> found = tw.tickets.latencies(arms, rounds=20)
        >>> found.least().shape, bool(found.least()[1] < 1)
        ((2,), True)
        """
        logs = self["log speedup"]
        error = logs.std(0, ddof=1) / math.sqrt(len(logs))
        return np.exp(logs.mean(0) - student_t.reach(len(logs), level) * error)


def latencies(
    arms: Mapping[str, Callable[[], object]], *, rounds: int = 40, blocks: int = 10, device: str | torch.device = "cpu"
) -> Latencies:
    """How long calls take, interleaved so that a busy machine is busy for all of them alike.

        speed-up = exp(median over rounds of log(seconds of the first arm / seconds of the arm))

    Every round calls every arm, in the opposite order each second round: once unmeasured, as the arm before has filled
    the caches, and twice measured. Blocks of rounds are what an interval is over.

    >>> import thalweg as tw
    >>> found = tw.tickets.latencies({"few": lambda: sum(range(100)), "many": lambda: sum(range(10_000))}, rounds=20)
    >>> found.arms, bool(found["speedup"][1] < 0.5)
    (['few', 'many'], True)

    Args:
        arms: functions without arguments by name; the first is the reference.
        rounds: at least two a block.
        blocks: into which the rounds are split.
        device: on which they run; of CUDA each is waited for.

    Raises:
        UsageError: fewer than two rounds a block, or no arms.

    Cost: three calls of each arm a round.
    """
    check_type("latencies arms", arms, Mapping, "functions by name, such as {'dense': lambda: net(x)}")
    check_count("latencies blocks", blocks, 2)
    check_count("latencies rounds", rounds, 2 * blocks)
    if not arms:
        msg = "latencies needs at least one function to call; got none."
        raise UsageError(msg)
    began, names = time.perf_counter(), list(arms)
    device = torch.device(device)
    seconds = np.zeros((rounds, len(names)))
    for number in range(rounds):
        order = range(len(names)) if number % 2 == 0 else reversed(range(len(names)))
        for arm in order:
            call = arms[names[arm]]
            call()
            _wait(device)
            start = time.perf_counter()
            for _ in range(_CALLS):
                call()
            _wait(device)
            seconds[number, arm] = (time.perf_counter() - start) / _CALLS
    logs = np.log(seconds[:, :1]) - np.log(seconds)
    parts = np.array([np.median(part, 0) for part in np.array_split(logs, blocks)])
    reading = Reading(
        "latency",
        {
            "latency": np.median(seconds, 0),
            "fastest": seconds.min(0),
            "speedup": np.exp(np.median(logs, 0)),
            "log speedup": parts,
        },
        dict.fromkeys(("latency", "fastest", "speedup"), ("arm",)) | {"log speedup": ("block", "arm")},
        {"arm": names},
        {"latency": "s", "fastest": "s"},
        sample_size=rounds,
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(None, str(device)),
        notes=(f"Medians of {rounds} interleaved rounds on {torch.get_num_threads()} threads.",),
    )
    return Latencies(reading)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
