"""Rules, recipes and comparisons for tests of runs that begin in mid-run."""

from typing import Any

import numpy as np
import torch
from cases import CASE

import thalweg as tw
from thalweg import optim

MLP = CASE["mlp"]
AROUND = {
    "averaged": optim.Averaged(optim.Adam(0.01)),
    "averaged muon": optim.Averaged(optim.Muon(0.01)),
    "grokfast": optim.Grokfast(optim.AdamW(0.01)),
    "slimming": optim.Slimming(optim.Momentum(0.05)),
    "centralized": optim.Centralized(optim.Momentum(0.05)),
    "centralized, ahead": optim.Centralized(optim.Nesterov(0.05)),
    "centralized, schedule-free": optim.Centralized(optim.ScheduleFreeSGD(0.1)),
    "orthogonal": optim.Orthogonal(optim.SGD(0.05)),
    "frozen norm": optim.FrozenNorm(optim.Adam(0.01)),
    "sam": optim.SAM(optim.Momentum(0.05)),
    "dampened": optim.Momentum(0.05, form="ema", start="first_gradient"),
    "torch": optim.TorchOptimizer(0.01, lambda p: torch.optim.RAdam(p)),
    "torch adamw": optim.TorchOptimizer(0.01, lambda p: torch.optim.AdamW(p)),
}
EVERY = {name: rule(0.01) for name, rule in optim.RULES.items()} | AROUND


def recipe_of(rule: Any, steps: int = 14, **changes: Any) -> tw.Recipe:
    options: dict[str, Any] = {
        "batch_size": 5,
        "schedule": tw.schedules.Cosine(warmup=3),
        "clip_norm": 1.0,
        "evaluate": (4, 9),
        "snapshot": (0, 4, 6, 9),
        "snapshot_state": True,
    }
    return tw.Recipe(rule, steps, **(options | changes))


def plan_of(rule: Any) -> str:
    return "looped" if isinstance(rule, optim.TorchOptimizer) else "stacked"


def assert_same_from(
    step: int, one: tw.Run, other: tw.Run, members: Any = slice(None), *, rounding: float = 0.0
) -> None:
    """All that `one` holds from a step on is what `other` holds, whose members are these."""

    def same(mine: Any, theirs: Any) -> bool:
        return np.allclose(mine, theirs, rtol=rounding, atol=rounding, equal_nan=True)

    assert same(one.final.theta, other.final.theta[members])
    for name, matrix in one.state.slots.items():
        if not (rounding and "basis" in name):  # eigenvectors may turn by rounding
            assert same(matrix, other.state.slots[name][members]), name
    for name, buffer in one.final.buffers.items():
        assert same(buffer, other.final.buffers[name][members]), name
    assert same(one.history.batch_loss[step:], other.history.batch_loss[step:, members])
    both = sorted({*one.history.steps} & {*other.history.steps} & {*range(step, one.step + 1)})
    rows, theirs = np.isin(one.history.steps, both), np.isin(other.history.steps, both)
    for metric, values in one.history.metrics.items():
        assert same(values[rows], other.history[metric][theirs][:, members]), metric
    for at in one.snapshots:
        assert same(one.snapshots[at].theta, other.snapshots[at].theta[members])
