"""IMP5: the larger the start, the larger the error where features are to be learned; on digits a large one alone.

The null, softmax regression, is trained on the networks' own digits, at a rate ten times theirs: at that rate it would
need as many times more steps to come to the same training loss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from thalweg import data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.data import Data, Examples, pooled
from thalweg.figures import Axis, Figure, interval_line
from thalweg.generalization.implicit import relative_movement, scale_of_initialization
from thalweg.optim import Rule
from thalweg.population import Population, Problem
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe, Run

Array = NDArray[np.float64]
SMALL, LARGE, DIGITS, SOFTMAX = "parity, small", "parity, large", "digits", "softmax regression"
FLAT = "digits, small"
SLOPE, POINTS = "points of test error per decade of the scale", "points of test error, scale 8 - scale 1"
CLAIM = Claim(
    id="IMP5",
    statement="At equal training loss (0.05) the test error on the parity of 2 of 20 bits grows by more than 5 points "
    "per decade of the scale of torch's initialization, both from 1/8 to 1 and from 1 to 8 (200 examples, MLP "
    "20-256-2, Adam); on 200 digits (64-256-10) it is more than 2 points larger at 8 than at 1.",
    lecture="Initialization: start near simple functions.",
    rule=every_part(),
    unit=SLOPE,
    budget={"networks on digits at each scale": 12},
    corrected="A small start gives the lower error where features are to be learned. On digits a large start hurts; "
    "what starts below the usual one do is measured beside.",
    parts=(
        Part(SMALL, "It grows from 1/8 to 1.", greater(0, worth=5), SLOPE),
        Part(LARGE, "It grows from 1 to 8.", greater(0, worth=5), SLOPE),
        Part(DIGITS, "On digits a large start hurts.", greater(0, worth=2), POINTS),
        Part(FLAT, "On digits the error is flat from 1/8 to 1.", within(-1, 1), SLOPE, decides=False),
        Part(SOFTMAX, "On the same digits it does not hurt a linear model.", within(-1, 1), POINTS, decides=False),
    ),
)
SCALES = {"quick": (1 / 8, 1.0, 8.0), "full": (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)}
LEVEL = 0.05


@dataclass(frozen=True)
class Setting:
    """What is trained, and for how long."""

    name: str
    model: Callable[[], nn.Module]
    given: Callable[[int], Data]
    steps: int
    rule: Rule


PARITY = Setting(
    "parity",
    lambda: nets.mlp(20, 256, 2),
    lambda seed: data.parity(200, bits=20, relevant=2, seed=seed, test=1_000),
    1_200,
    optim.Adam(1e-3),
)
QUICK_STEPS = 450
OF_DIGITS = Setting(
    DIGITS,
    lambda: nets.mlp(64, 256, 10),
    lambda seed: data.digits().split_anew(200, seed=seed, stream="scale of the start"),
    800,
    optim.Adam(1e-3),
)
OF_SOFTMAX = Setting(
    SOFTMAX,
    lambda: nets.mlp(64, 10),
    lambda seed: data.digits().split_anew(200, seed=seed, stream="scale of the start"),
    2_500,
    optim.Adam(1e-2),
)


@dataclass(frozen=True, eq=False)
class Scaled:
    """Networks by the scale of their start: (scales, seeds) each, NaN of those that did not come to the loss.

    Args:
        scales: (scales,).
        error: in points of test examples, at the same training loss.
        last: the same after all steps.
        movement: |theta - theta_0| / |theta_0| at the same training loss.
    """

    scales: Array
    error: Array
    last: Array
    movement: Array

    @property
    def reached(self) -> NDArray[np.bool_]:
        """At which scales every network came to the loss: (scales,)."""
        return np.asarray(np.isfinite(self.error).all(axis=1))

    def slope(self, keep: NDArray[np.bool_]) -> Interval:
        """Points of test error per decade of the scales kept."""
        values = self.error[keep]
        if not np.isfinite(values).all():
            return Interval.missing(ALL_AT)
        return interval.mean(np.polyfit(np.log10(self.scales[keep]), values, 1)[0])

    @property
    def hurt(self) -> Interval:
        """The error at the largest scale minus that at 1."""
        values = self.error[-1] - self.error[self.scales == 1][0]
        return interval.mean(values) if np.isfinite(values).all() else Interval.missing(ALL_AT)


ALL_AT = "every network must come to the training loss at which it is read"


def trained(
    lab: Lab, setting: Setting, seeds: Sequence[int], scales: Sequence[float], *, descent: bool = False
) -> Scaled:
    """The same draws at every scale; with `descent` by full batches with momentum, at rates that stay stable."""
    drawn = [setting.given(seed) for seed in seeds]
    sets = [one.train for one in drawn if isinstance(one.train, Examples)]
    tests = [one.test for one in drawn if isinstance(one.test, Examples)]
    (own, rows), (held_out, test_rows) = pooled(sets), pooled(tests)
    problem = Problem(setting.model, Data(own, held_out, setting.name, drawn[0].classes), device=lab.device)
    kept = tuple(np.unique(np.geomspace(5, setting.steps, 40).round()).astype(int).tolist())
    found: list[Array] = []
    groups = [[scale] for scale in scales] if descent else [list(scales)]
    for group in groups:
        # The curvature grows as the square of the scale, so that one rate of plain descent cannot serve all.
        rule = optim.Momentum(0.1 / max(1.0, group[0] ** 2)) if descent else setting.rule
        recipe = Recipe(rule, setting.steps, None if descent else 100, evaluate=kept, snapshot=kept)
        starts = scale_of_initialization(problem, list(seeds), group)
        label = f"{setting.name}, {'momentum, ' if descent else ''}{', '.join(starts)} times the start"
        run = lab.train(
            problem, recipe, list(seeds), label, start=starts, paired=True, examples=rows, test_examples=test_rows
        )
        found.append(at_level(run, Population.concatenate(list(starts.values()))))
    error, last, movement = np.concatenate(found, 1).reshape(3, len(scales), len(seeds))
    return Scaled(np.array(scales), error, last, movement)


def at_level(run: Run, start: Population) -> Array:
    """Test error where each member first comes to the loss, test error at the end, and movement: (3, members)."""
    error = 100 * (1 - run.history["test_accuracy"])
    never = np.full(len(run.final), np.nan)
    if not (run.history["train_loss"] <= LEVEL).any():
        return np.stack([never, error[-1], never])
    at = run.at_first("train_loss", LEVEL)
    there = error[np.searchsorted(run.history.steps, at.steps), at.members]
    moved = relative_movement(start[at.members.tolist()], at.population).cpu().numpy()
    return np.stack([at.among_all(there), error[-1], at.among_all(moved)])


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train from starts of several scales, and read the errors at equal training loss."""
    seeds, scales, full = lab.seeds(quick=6, full=12).scored, SCALES[lab.scale], lab.scale == "full"
    parity = trained(lab, PARITY if full else replace(PARITY, steps=QUICK_STEPS), seeds, scales)
    digits = trained(lab, OF_DIGITS, seeds, scales) if full else None
    softmax = trained(lab, OF_SOFTMAX, seeds, (1.0, 8.0)) if full else None
    momentum = trained(lab, PARITY, seeds, scales, descent=True) if full else None
    missing = Interval.missing("digits are trained at full scale alone")
    found = {PARITY.name: parity} | ({DIGITS: digits} if digits is not None else {})
    return lab.finding(
        parts={
            SMALL: parity.slope(parity.scales <= 1),
            LARGE: parity.slope(parity.scales >= 1),
            DIGITS: missing if digits is None else digits.hurt,
            FLAT: missing if digits is None else digits.slope(digits.scales <= 1),
            SOFTMAX: missing if softmax is None else softmax.hurt,
        },
        ran={"networks on digits at each scale": len(seeds) if full else 0},
        figures=figure(found),
        readings=[
            lab.reading(f"{what}, {name}", values, {"scale": one.scales, "seed": seeds}, unit=unit)
            for name, one in found.items()
            for what, values, unit in (
                ("test error at equal training loss", one.error, "%"),
                ("test error after all steps", one.last, "%"),
                ("relative movement", one.movement, ""),
            )
        ],
        sentences=[
            *(sentence(name, one) for name, one in found.items()),
            *([] if digits is None else [of_digits(digits)]),
            *([] if softmax is None else [f"Softmax regression on the same digits: {softmax.hurt} points more at 8."]),
            *([] if momentum is None else [of_momentum(momentum)]),
        ],
        numbers={
            name: {
                f"{scale:g}": {"test error": error, "after all steps": last, "relative movement": movement}
                for scale, error, last, movement in zip(
                    one.scales[one.reached].tolist(),
                    *(of[one.reached].mean(1).tolist() for of in (one.error, one.last, one.movement)),
                    strict=True,
                )
            }
            for name, one in found.items()
        },
    )


def sentence(name: str, found: Scaled) -> str:
    """What was found on one set of data."""
    errors, last, moved = (values[[0, -1]].mean(1) for values in (found.error, found.last, found.movement))
    low, high = found.scales[[0, -1]]
    return (
        f"{name.capitalize()}: from {low:g} to {high:g} times the usual start the test error at a training loss of "
        f"{LEVEL:g} goes from {errors[0]:.1f} to {errors[1]:.1f} %, and after all steps from {last[0]:.1f} to "
        f"{last[1]:.1f} %; weights move by {moved[0]:.2g} to {moved[1]:.2g} times their length at the start."
    )


def of_digits(found: Scaled) -> str:
    """The scales below the usual one, and where the error is least."""
    best = found.scales[found.error.mean(1).argmin()]
    return (
        f"On digits the slope up to 1 is {found.slope(found.scales <= 1)} points per decade, and the error is least at "
        f"{best:g} times the usual start."
    )


def of_momentum(found: Scaled) -> str:
    """The other optimizer."""
    return (
        "By full batches with momentum, at rates that fall as the square of large scales, the slopes on parity are "
        f"{found.slope(found.scales <= 1)} and {found.slope(found.scales >= 1)} points per decade."
    )


def figure(found: Mapping[str, Scaled]) -> Figure:
    """Test error and movement against the scale of the start."""
    panels = [
        Figure.of(
            title,
            [
                interval_line(one.scales[one.reached], [interval.mean(at) for at in values[one.reached]], label=name)
                for name, one in found.items()
                for values in (getattr(one, field),)
            ],
            Axis("scale of the start", scale="log"),
            axis,
        )
        for title, field, axis in (
            ("Test error", "error", Axis("test error", "%")),
            ("Movement", "movement", Axis("|theta - start| / |start|", scale="log")),
        )
    ]
    return Figure.row(
        panels,
        title="The scale of the start",
        caption=f"MLPs where the training loss first is at most {LEVEL:g}; the same draw of weights at every scale, "
        f"means over {next(iter(found.values())).error.shape[1]} seeds with 95 % intervals.",
    )
