"""SIM1: on the circle, how the time to learn a frequency grows with it, and where 2 is the power."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import ntk, optim
from thalweg.claims import Claim, Finding, Part, greater, within
from thalweg.data import Data, Examples, pooled
from thalweg.figures import Axis, Figure, HeatMap, Line
from thalweg.generalization import simplicity
from thalweg.generalization.simplicity import LearningTimes
from thalweg.generalization.simplicity.checkpoints import first_reached
from thalweg.population import Problem
from thalweg.statistics import POSITIVE, Interval, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
POWER = "power of the frequency"
KERNEL, PERMUTED, EVEN, FAR = "kernel", "permuted targets", "even frequencies", "far from the start"
PERMUTATIONS = 25  # a seed
CLAIM = Claim(
    id="SIM1",
    statement="A ReLU net near its tangent kernel (2,048 hidden units with biases, outputs 0 at the start, full-batch "
    "descent) learns 64 points of a circle frequency by frequency: the time to 90 % of cos(k theta) grows as k^q, q "
    "between 1.7 and 2.3, over k = 3, 5, 7, 9.",
    lecture="Networks prefer simple functions, that have low frequency.",
    rule=within(1.7, 2.3),
    unit=POWER,
    lecture_rule=greater(0),
    corrected="The order is that of the kernel's eigenvalues, which fall as 1 / k^2 along odd k from 3 on. That is no "
    "law of all frequencies or of weights that move far, whose powers are measured beside; in theory (Basri et al., "
    "2019) odd k from 3 are never learned without biases.",
    parts=(
        Part(
            KERNEL,
            "The time to each frequency is that which the kernel of infinite width predicts.",
            within(0.9, 1.1),
            "time / predicted time, of the frequency farthest from 1",
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            PERMUTED,
            "By the kernel, no frequency of targets that are permuted over the points is first.",
            within(-0.1, 0.1),
            POWER,
            decides=False,
            repeats=f"draws of {PERMUTATIONS} permutations",
        ),
        Part(
            EVEN,
            "Over k = 2 to 9 the power is larger.",
            greater(0, worth=0.2),
            "power over k = 2 to 9 - over 3, 5, 7, 9",
            decides=False,
        ),
        Part(
            FAR,
            "With targets of amplitude 1 in place of 0.02 the power is larger.",
            greater(0, worth=0.2),
            "power of the time to half, amplitude 1 - 0.02",
            decides=False,
        ),
    ),
)
POINTS, WIDTH, LEVEL = 64, 1_024, 0.9
RATE = 3.0  # on half the mean square, whose curvature is at most 0.55; the loss is the mean square, whose rate is half
SPACING = 0.02  # the width of a kernel that is narrower than the points' spacing

NET, THEORY = "net, 90 %", "kernel of infinite width, 90 %"


@dataclass(frozen=True)
class Arm:
    """Targets, and how long they are trained on."""

    name: str
    frequencies: tuple[int, ...] = (3, 5, 7, 9)
    amplitude: float = 0.02
    steps: int = 1_000


LAZY, WITH_EVEN, LARGE = Arm("lazy"), Arm(EVEN, tuple(range(2, 10))), Arm(FAR, amplitude=1.0, steps=4_000)


@dataclass(frozen=True, eq=False)
class Learned:
    """Networks of one arm, each with phases of its own.

    Args:
        found: the share learned of each frequency and step, and the times of the level.
        modes: cos(k theta + phase) of each seed: (seeds, frequencies, points).
        expected: the times that each network's own kernel at the start predicts: (seeds, frequencies).
        movement: |theta - theta_0| / |theta_0|: (seeds,).
    """

    found: LearningTimes
    modes: Array
    expected: Array
    movement: Array

    def times(self, level: float) -> Array:
        """To another level of the share: (seeds, frequencies)."""
        return first_reached(self.found.reading.coordinate("step"), self.found["share"], level)


def circles(arm: Arm, seeds: Sequence[int], device: str = "cpu") -> tuple[Problem, torch.Tensor, Array]:
    """A set for each seed as one problem, which examples are whose, and their modes (seeds, frequencies, points)."""
    sets = [simplicity.circle(POINTS, arm.frequencies, amplitude=arm.amplitude, seed=seed) for seed in seeds]
    own, rows = pooled([one.train for one in sets if isinstance(one.train, Examples)])
    net = lambda: simplicity.LazyNet(2, WIDTH)  # noqa: E731
    problem = Problem(net, Data(own, name="circle"), "squared_error", dtype=torch.float32, device=device)
    return problem, rows, np.stack([one.ground_truth["modes"].numpy() for one in sets])


def learned(lab: Lab, arm: Arm, seeds: Sequence[int]) -> Learned:
    """Train networks of all seeds at once, and follow their own frequencies."""
    problem, rows, modes = circles(arm, seeds, lab.device)
    kept = np.unique(np.geomspace(1, arm.steps, 400).round()).astype(int).tolist()
    recipe = Recipe(optim.SGD(RATE / 2), arm.steps, evaluate=0, snapshot=(0, *kept))
    run = lab.train(problem, recipe, list(seeds), arm.name, examples=rows)
    names = list(arm.frequencies)
    found = simplicity.learning_times(problem, run, modes, coordinates=names, rows=rows, level=LEVEL)
    start, points = run.snapshots[0], problem.data.train.select(rows[0])  # the same inputs for all seeds
    kernels = ntk.empirical(problem, start, on=points, outputs="trace", progress=None)["kernel"]
    expected = np.stack([predicted(kernel, own) for kernel, own in zip(kernels, modes, strict=True)])
    moved = (run.final.theta - start.theta).norm(dim=1) / start.theta.norm(dim=1)
    return Learned(found, modes, expected, moved.double().cpu().numpy())


def predicted(kernel: Array, modes: Array) -> Array:
    """The times of descent on a kernel, with the sum of the modes as the targets: (frequencies,)."""
    return simplicity.kernel_times(kernel, modes.sum(0), modes, learning_rate=RATE, level=LEVEL)


def times_over(times: Array, expected: Array) -> Interval:
    """The geometric mean over seeds of times (seeds, frequencies) over those expected, of the frequency farthest off.

    All frequencies are within equal distances of 1 where it is.
    """
    ratios = (times / expected).T
    if not np.isfinite(ratios).all():
        return Interval.missing("some frequency was not learned by every network")
    return max(map(interval.geometric_mean, ratios), key=lambda one: max(one.high - 1, 1 - one.low))


def permuted(seed: int, modes: Array) -> Array:
    """Modes whose points are permuted, the same for all: (permutations, frequencies, points)."""
    draw = np.random.default_rng([seed, 1])
    return np.stack([modes[:, draw.permutation(modes.shape[1])] for _ in range(PERMUTATIONS)])


def of_permuted(kernel: Array, seeds: Sequence[int], modes: Array) -> Array:
    """The times on permuted targets: (seeds, permutations, frequencies)."""
    tables = [permuted(seed, own) for seed, own in zip(seeds, modes, strict=True)]
    return np.array([[predicted(kernel, table) for table in of_seed] for of_seed in tables])


def power_of_permuted(times: Array, frequencies: Sequence[int]) -> Interval:
    """The mean power over permutations, of times (seeds, permutations, frequencies)."""
    flat = exponents(frequencies, times.reshape(-1, len(frequencies)).T)
    return interval.mean(flat.reshape(times.shape[:2]).mean(1))


def narrow_kernel(angles: Array) -> Array:
    """A Gaussian of the angle that is narrower than the spacing of the points: (points, points)."""
    between = np.angle(np.exp(1j * (angles[:, None] - angles)))
    return np.exp(-np.square(between / SPACING) / 2)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train on a sum of frequencies, and compare the times with those that kernels predict."""
    seeds, names, full = lab.seeds(quick=8, full=16).scored, LAZY.frequencies, lab.scale == "full"
    lazy = learned(lab, LAZY, seeds)
    time = lazy.found["time"]
    power = exponents(names, time.T)
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    kernel = simplicity.circle_kernel(angles)
    theory = predicted(kernel, lazy.modes[0])  # modes are eigenvectors, so that phases make no difference
    moved = of_permuted(kernel, seeds, lazy.modes)
    narrow = exponents(names, predicted(narrow_kernel(angles), lazy.modes[0])[:, None])[0]
    some = seeds[:8]
    even = learned(lab, WITH_EVEN, some) if full else None
    large = learned(lab, LARGE, some) if full else None
    missing = Interval.missing("trained at full scale alone")
    of_even = None if even is None else exponents(WITH_EVEN.frequencies, even.found["time"].T)
    of_large = None if large is None else exponents(names, large.times(0.5).T)
    half = exponents(names, lazy.times(0.5)[: len(some)].T)
    spread = [float(np.sqrt(np.square(np.log(time / one)).mean())) for one in (theory, lazy.expected)]
    own = interval.mean(power)
    parts = {
        KERNEL: times_over(time, theory),
        PERMUTED: power_of_permuted(moved, names),
        EVEN: missing if of_even is None else interval.mean(of_even - power[: len(some)]),
        FAR: missing if of_large is None else interval.mean(of_large - half),
    }
    means = np.exp(np.log(time).mean(0))
    return lab.finding(
        own,
        lecture=own,
        parts=parts,
        figures=figure(lazy, large, theory, seeds, kernel, moved),
        readings=[
            lab.reading("time to 90 %", time, {"seed": seeds, "frequency": names}, unit="steps"),
            *(
                lab.reading(what, one.times(level), {"seed": some, "frequency": arm.frequencies}, unit="steps")
                for what, arm, one, level in (
                    ("time to 90 %, even frequencies too", WITH_EVEN, even, LEVEL),
                    ("time to half, amplitude 1", LARGE, large, 0.5),
                )
                if one is not None
            ),
        ],
        sentences=[
            "90 % of "
            + ", ".join(f"k = {k} after {step:.0f} steps" for k, step in zip(names, means, strict=True))
            + f"; infinite width predicts {', '.join(f'{step:.0f}' for step in theory)}. Weights move by "
            f"{100 * lazy.movement.mean():.1f} % of their length.",
            f"Single times are {100 * spread[0]:.0f} % away from these, and {100 * spread[1]:.1f} % from what each "
            "network's own kernel at the start predicts (root mean squares).",
            f"Nulls, by kernels and not by networks: with targets permuted over the points the power is "
            f"{parts[PERMUTED]}; with a kernel narrower than the spacing of the points, {narrow:.4f}.",
            *(
                []
                if of_even is None or of_large is None or large is None
                else [
                    f"Over k = 2 to 9 the power is {interval.mean(of_even)}. With targets of amplitude 1 weights move "
                    f"by {100 * large.movement.mean():.0f} %, and the time to half grows as the power "
                    f"{interval.mean(of_large)}, against {interval.mean(half)} at the amplitude 0.02."
                ]
            ),
        ],
        numbers={
            "predicted steps": dict(zip(map(str, names), theory.tolist(), strict=True)),
            "spread of log time about the prediction of infinite width, and of the own kernel": spread,
            "power by the narrow kernel": float(narrow),
            "powers": power.tolist(),
        },
    )


def figure(
    lazy: Learned, large: Learned | None, theory: Array, seeds: Sequence[int], kernel: Array, moved: Array
) -> Figure:
    """Share learned by frequency and step: of networks, of permuted targets, and of networks far from their start."""
    steps = np.unique(np.geomspace(1, LARGE.steps, 120).round())
    tables = [one for seed, own in zip(seeds, lazy.modes, strict=True) for one in permuted(seed, own)]
    null = [simplicity.kernel_shares(kernel, one.sum(0), one, steps, learning_rate=RATE) for one in tables]
    of_null = mean_time(moved.reshape(-1, len(LAZY.frequencies)))
    maps = [
        panel("Near the start", *mean_share(lazy), {NET: mean_time(lazy.found["time"]), THEORY: theory}),
        panel("Permuted targets, kernel", steps, np.mean(null, 0), {THEORY: of_null}),
    ]
    if large is not None:
        maps.append(panel("Amplitude 1, net", *mean_share(large), {"net, 50 %": mean_time(large.times(0.5))}))
    return Figure.row(
        maps,
        title="Low frequencies are learned first",
        caption=f"{POINTS} points of a circle, {2 * WIDTH:,} ReLU units; means over {len(seeds)} seeds. Lines: when a "
        "share of a frequency is learned.",
    )


def mean_time(times: Array) -> Array:
    """The geometric mean over seeds, NaN where one never comes there: (frequencies,)."""
    return np.where(np.isfinite(times).all(0), np.exp(np.log(np.where(np.isfinite(times), times, 1)).mean(0)), math.nan)


def mean_share(one: Learned) -> tuple[Array, Array]:
    """Steps from 1 on, some of them, and the share learned there: (steps,), (frequencies, steps)."""
    steps = one.found.reading.coordinate("step")
    some = np.flatnonzero(steps > 0)[::2]
    return steps[some].astype(np.float64), one.found["share"].mean(0)[:, some]


def panel(title: str, steps: Array, share: Array, times: dict[str, Array]) -> Figure:
    """A map with lines of times, low frequencies on top."""
    names, rows = [str(k) for k in reversed(LAZY.frequencies)], np.arange(len(share), dtype=np.float64)
    lines = [Line(time[::-1], rows, label=name) for name, time in times.items()]
    axes = Axis("step", scale="log", limits=(1, LARGE.steps)), Axis("frequency", names=names)
    return Figure.of(
        title, [HeatMap(steps, rows, share[::-1].clip(0, 1)), *lines], *axes, Axis("share learned", limits=(0, 1))
    )
