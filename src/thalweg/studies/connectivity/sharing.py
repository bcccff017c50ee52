"""CON3: copies of a network are linearly connected once they have shared training for long enough.

At quick scale the networks are digits perceptrons with four hidden layers, at full scale perceptrons on MNIST-1D: both
are unstable at first. Digits perceptrons with two hidden layers are stable from step 0, so nothing can fall there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg import connectivity
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.connectivity import Instability
from thalweg.population import Problem
from thalweg.statistics import Interval, exponents, interval
from thalweg.studies.connectivity.setting import DIGITS, POINTS, POINTS_OF_ERROR, SIGNALS, Setting
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
THRESHOLD, LATEST = 2.0, 0.3  # points; the last share of training at which copies may part
ERROR, LOSS = "error barrier, over mean", "loss barrier"
APART, TOGETHER, TRAINING = "from step 0", "after shared training", "after shared training, training error"
UNIT = "points of {} error above the mean of both copies"
CLAIM = Claim(
    id="CON3",
    statement="Copies of a network that see other batches from step 0 on have more than 2 points of test error between "
    "them; copies that part at 20 % of training (digits, ReLU MLP 64-64-64-64-64-10, 600 steps of momentum) or, at "
    "full scale, at 30 % (MNIST-1D, 40-100-100-10, 600 steps) have less than 2.",
    lecture="Linear mode connectivity: the loss between two solutions is about that of either.",
    rule=every_part(),
    unit=UNIT.format("test"),
    corrected="It is so of solutions that shared their training up to a step, which is to be named: near the last one "
    "any two copies are connected, as they have no time and no rate left to part.",
    parts=(
        Part(APART, "Copies part from step 0 on.", greater(THRESHOLD), UNIT.format("test"), bounds=POINTS_OF_ERROR),
        Part(
            TOGETHER,
            "They stay together after shared training.",
            less(THRESHOLD),
            UNIT.format("test"),
            bounds=POINTS_OF_ERROR,
        ),
        Part(
            TRAINING,
            "So they do by the training error.",
            less(THRESHOLD),
            UNIT.format("training"),
            decides=False,
            bounds=POINTS_OF_ERROR,
        ),
    ),
    budget={"steps": 600},
)
FLOOR = 1e-4  # nats, below which a barrier is not told from rounding when logarithms are taken


@dataclass(frozen=True)
class Plan:
    """What one scale trains.

    Args:
        setting: of the networks.
        seeds: how many trunks.
        shares: of training, at which copies part.
        fresh: shares as many steps of trunks at a constant rate, before whole schedules.
    """

    setting: Setting
    seeds: int
    shares: tuple[float, ...]
    fresh: tuple[float, ...]


PLANS = {
    "quick": Plan(DIGITS.with_hidden(64, 64, 64, 64), 6, (0.0, 0.05, 0.2), (0.0, 0.2)),
    "full": Plan(SIGNALS, 8, (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5), (0.0, 0.1, 0.5, 1.0)),
}
STABLE = DIGITS  # two hidden layers, from step 0


def measured(
    lab: Lab,
    setting: Setting,
    problem: Problem,
    shares: tuple[float, ...],
    seeds: list[int],
    *,
    fresh_schedule: bool = False,
) -> Instability:
    """The barriers between copies of one setting, on its problem."""
    kind = "fresh schedules" if fresh_schedule else "one schedule"
    return connectivity.instability(
        problem,
        setting.recipe,
        shares,
        seeds=seeds,
        fresh_schedule=fresh_schedule,
        points=POINTS,
        progress=lab.labelled(f"{setting.text}, {kind}"),
        workers=lab.workers,
    )


def height(found: Instability, place: int, on: str) -> Interval:
    """The mean error barrier at one of the steps, in points."""
    return interval.mean(100 * found.barriers(ERROR, on=on)[place], bounds=POINTS_OF_ERROR)


def latest(found: Instability, steps: int) -> int:
    """The place of the last step up to 30 % of training."""
    return max(place for place, step in enumerate(found.steps) if step <= LATEST * steps)


def judged(found: Instability, steps: int) -> dict[str, Interval]:
    """The interval of every part: at step 0, and at the last step up to 30 % of training."""
    last = latest(found, steps)
    return {
        APART: height(found, 0, "test"),
        TOGETHER: height(found, last, "test"),
        TRAINING: height(found, last, "train"),
    }


def other_starts(problem: Problem, found: Instability) -> Array:
    """What is between copies of different seeds that part at step 0, for comparison: points of test error (seeds,).

    Each network is in two of these pairs: they are no independent sample, and have no interval.
    """
    first, second = found.copies(0)
    following = second[[*range(1, len(second)), 0]]
    between = connectivity.barrier(problem, first, following, points=POINTS, on="test", resamples=0, progress=None)
    return 100 * between[ERROR][0]


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Let copies part at every step, with the schedule going on and with a fresh one."""
    plan = PLANS[lab.scale]
    seeds, steps = lab.seeds(quick=plan.seeds, full=plan.seeds).scored, plan.setting.steps
    problem = plan.setting.problem(lab)
    usual = measured(lab, plan.setting, problem, plan.shares, seeds)
    fresh = measured(lab, plan.setting, problem, plan.fresh, seeds, fresh_schedule=True)
    shallow = measured(lab, STABLE, STABLE.problem(lab), (0.0,), seeds)
    parts, others = judged(usual, steps), other_starts(problem, usual)
    at = np.array(usual.steps)
    slopes = {
        on: interval.mean(exponents(at[at > 0], np.maximum(usual.barriers(LOSS, on=on)[at > 0], FLOOR)))
        for on in ("train", "test")
    }
    stable = {
        f"{name}, {on}": one.stable_from(THRESHOLD / 100, name=ERROR, on=on)
        for name, one in (("one schedule", usual), ("fresh schedule", fresh))
        for on in ("train", "test")
    }
    zero = float(usual.barriers(ERROR, on="test")[0].mean() * 100)
    fall = [float(100 * one.mean()) for one in fresh.barriers(ERROR, on="test")]
    return lab.finding(
        parts=parts,
        ran={"steps": steps},
        figures=connectivity.instability_figure(
            {"schedule goes on": usual, "fresh schedule": fresh},
            title=f"Copies that part at step k: {plan.setting.text}",
            caption=f"Means over {plan.seeds} seeds with 95 % intervals. Copies see other batches from step k on and "
            f"are trained up to step {steps}; or, with a fresh schedule, for {steps} steps after k at a constant rate.",
        ),
        readings=[
            lab.reading(
                f"{title}: {name}, {on}",
                (100 if name == ERROR else 1) * one.barriers(name, on=on),
                {"step": one.steps, "seed": seeds},
                unit="points" if name == ERROR else "nats",
            )
            for title, one in (("one schedule", usual), ("fresh schedule", fresh), (STABLE.text, shallow))
            for name in (ERROR, LOSS)
            for on in ("train", "test")
        ],
        sentences=[
            f"{plan.setting.text}: copies that part at step 0 have {zero:.1f} points of test error between them, and "
            f"copies that part at step {usual.steps[latest(usual, steps)]:,} "
            f"{parts[TOGETHER].estimate:.2f} ({parts[TRAINING].estimate:.2f} of training error); networks of other "
            f"initializations have {others.mean():.1f}.",
            f"The first step from which on the interval of every step tried lies below {THRESHOLD:g} points: "
            + "; ".join(f"{name}: {'none tried' if step is None else step}" for name, step in stable.items())
            + ".",
            f"With a whole schedule of their own after k steps at a constant rate copies have "
            f"{', '.join(f'{value:.1f}' for value in fall)} points at k = {', '.join(map(str, fresh.steps))}, "
            "though none lacks time or rate to part.",
            f"{STABLE.text}: {100 * shallow.barriers(ERROR, on='test')[0].mean():.2f} points from step 0.",
        ],
        numbers={
            "stable from step": {name: "none tried" if step is None else step for name, step in stable.items()},
            "slope of log loss barrier on log k": {on: str(slope) for on, slope in slopes.items()},
            "points between copies from step 0, as a share of those between other initializations": zero
            / float(others.mean()),
            "points with fresh schedules, by k": dict(zip(map(str, fresh.steps), fall, strict=True)),
            f"points from step 0, {STABLE.text}": {on: str(height(shallow, 0, on)) for on in ("train", "test")},
        },
    )
