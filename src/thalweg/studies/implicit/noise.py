"""IMP2: at equal training loss noisier gradients give lower risk in two settings that are named, and not in a third."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thalweg import data, nets, optim, sweep
from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.data import Data, Examples, pooled
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars, interval_line
from thalweg.generalization.implicit import DiagonalLinear, effective_coefficients, limit_points, sparse_linear
from thalweg.population import Problem
from thalweg.statistics import POSITIVE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe, Run

Array = NDArray[np.float64]
DIAGONAL, SIGNALS, DIGITS = "diagonal net", "MNIST-1D", "digits"
TWICE, QUARTER = "full batches, twice the rate", "batch 1, a quarter of the rate"
BOTH = "twice the rate and the batch"
TIMES, SLOPE = "risk at batch 1 / risk at full batches", "points of test error per decade of rate / batch"
CLAIM = Claim(
    id="IMP2",
    statement="At equal training loss SGD on single examples has less than 0.85 times the risk of full batches in a "
    "diagonal linear net (40 examples of 100 inputs, 5 of which matter; start 0.1, rate 0.03), and an MLP 40-128-10 on "
    "500 signals of MNIST-1D errs by more than 0.5 points less per decade of rate / batch (rate 0.2, batches of 10 to "
    "500).",
    lecture="Noise: SGD noise prevents overfitting.",
    rule=every_part(),
    unit=TIMES,
    budget={"networks on MNIST-1D at each batch size": 12},
    corrected="In some settings. There is no general law: in a linear model noise changes nothing, as every batch size "
    "has one limit. In theory it is rate / batch that counts, at equal training loss; arms at other rates, and digits, "
    "where few errors are left, are measured beside the claim and stated as they came out.",
    parts=(
        Part(DIAGONAL, "Noise lowers the risk.", less(1, worth=0.85), TIMES, bounds=POSITIVE),
        Part(SIGNALS, "Noise lowers the test error.", less(0, worth=-0.5), SLOPE),
        Part(DIGITS, "On digits it does, too.", less(0, worth=-0.5), SLOPE, decides=False),
        Part(
            TWICE,
            "In the diagonal net full batches at twice the rate have the same risk.",
            within(0.9, 1.1),
            "risk at twice the rate / at the rate, full batches",
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            QUARTER,
            "There single examples at a quarter of the rate have a higher risk than at the rate.",
            greater(1),
            "risk at a quarter of the rate / at the rate, batch 1",
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            BOTH,
            "On MNIST-1D twice the rate and twice the batch change the test error by less than half a point.",
            within(-0.5, 0.5),
            "points of test error, twice both - batches of 10",
            decides=False,
        ),
    ),
)
EXAMPLES, INPUTS, NONZERO = 40, 100, 5
RATE = 0.015  # on the mean square, which is 0.03 on half of it
BATCHES = {"quick": (1, 10, EXAMPLES), "full": (1, 2, 4, 10, EXAMPLES)}
TARGET, STEPS = 1e-4, 2_000
ALL_AT = "every run must come to the loss at which it is read"


@dataclass(frozen=True)
class Arm:
    """How one arm is trained."""

    rate: float
    batch: int
    steps: int = STEPS


def recipe(arms: Sequence[Arm]) -> Recipe:
    """Plain SGD of arms that take as many steps, as one population; looked at 60 times at equal ratios of steps."""
    steps = arms[0].steps
    kept = tuple(np.unique(np.geomspace(steps / 30, steps, 60).round()).astype(int).tolist())
    rates, sizes = (sweep.values([getattr(arm, field) for arm in arms], axis="noise") for field in ("rate", "batch"))
    return Recipe(optim.SGD(rates), steps, sizes, evaluate=kept, snapshot=kept)


def reached(run: Run, level: float, score: Callable[[Run, NDArray[np.int64]], Array]) -> Array:
    """A score of every member where its training loss first is at most a level, NaN of what never is: (members,)."""
    if not (run.history["train_loss"] <= level).any():
        return np.full(len(run.final), np.nan)
    at = run.at_first("train_loss", level)
    return at.among_all(score(replace(run, final=at.population), at.members))


def by_arm(
    lab: Lab,
    problem: Problem,
    arms: Mapping[str, Arm],
    seeds: Sequence[int],
    rows: torch.Tensor,
    level: float,
    score: Callable[[Run, NDArray[np.int64]], Array],
) -> dict[str, Array]:
    """Train every arm on the examples of each seed, and score it where its training loss first is at most a level."""
    found = {}
    for steps in sorted({arm.steps for arm in arms.values()}):
        own = {name: arm for name, arm in arms.items() if arm.steps == steps}
        label = f"{problem.data.name}, {', '.join(own)}"
        run = lab.train(problem, recipe(list(own.values())), list(seeds), label, examples=rows)
        table = reached(run, level, score).reshape(len(own), -1)
        found |= dict(zip(own, table, strict=True))
    return {name: found[name] for name in arms}


def of_diagonal(lab: Lab, arms: Mapping[str, Arm], seeds: Sequence[int]) -> dict[str, Array]:
    """|beta - truth|^2 of diagonal linear nets, one a seed on its own examples, at the same training loss."""
    drawn = [sparse_linear(EXAMPLES, INPUTS, nonzero=NONZERO, seed=seed) for seed in seeds]
    sets = [one.train for one in drawn if isinstance(one.train, Examples)]
    truth = torch.stack([one.ground_truth["coefficients"][:, 0] for one in drawn])
    pool, rows = pooled(sets)
    problem = Problem(
        lambda: DiagonalLinear(INPUTS, start=0.1), Data(pool, name="sparse_linear"), "squared_error", device=lab.device
    )

    def risk(run: Run, members: NDArray[np.int64]) -> Array:
        found = effective_coefficients(run.final).double().cpu()
        return ((found - truth[torch.as_tensor(members) % len(seeds)]) ** 2).sum(1).numpy()

    return by_arm(lab, problem, arms, seeds, rows, TARGET, risk)


@dataclass(frozen=True)
class Setting:
    """Of networks: data, examples, sizes, rate, batches, and the training loss at which they are read."""

    name: str
    given: Callable[[], Data]
    n: int
    tested: int
    model: Callable[[], nn.Module]
    rate: float
    batches: tuple[int, ...]
    target: float

    @property
    def arms(self) -> dict[str, Arm]:
        """By batch size, then full batches at twice the rate, then twice the rate and twice the smallest batch."""
        small, full = self.batches[0], self.batches[-1]
        by_size = {f"batch {size}": Arm(self.rate, size, 1_500) for size in self.batches}
        twice = {TWICE: Arm(2 * self.rate, full, 1_500)}
        if self.name == DIGITS:  # where small batches at twice the rate do not come to the loss
            return by_size | twice
        return by_size | twice | {BOTH: Arm(2 * self.rate, 2 * small, 1_500)}


SETTINGS = (
    Setting(
        SIGNALS,
        partial(data.mnist1d, train=18_000, test=2_000),
        500,
        4_000,
        partial(nets.mlp, 40, 128, 10),
        0.2,
        (10, 50, 500),
        0.05,
    ),
    Setting(DIGITS, data.digits, 200, 1_597, partial(nets.mlp, 64, 128, 10), 0.5, (6, 20, 200), 0.01),
)


def of_networks(lab: Lab, setting: Setting, seeds: Sequence[int]) -> dict[str, Array]:
    """The test error in points of networks at the same training loss, by arm: (seeds,) each."""
    sets: tuple[list[Examples], list[Examples]] = ([], [])
    for seed in seeds:
        split = setting.given().split_anew(setting.n, seed=seed, stream="gradient noise")
        assert isinstance(split.train, Examples)
        assert isinstance(split.test, Examples)
        sets[0].append(split.train)
        sets[1].append(split.test.select(torch.arange(setting.tested)))
    (own, rows), (test, test_rows) = map(pooled, sets)
    problem = Problem(setting.model, Data(own, name=setting.name, classes=10), device=lab.device)

    def error(run: Run, members: NDArray[np.int64]) -> Array:
        at = test_rows[torch.as_tensor(members) % len(seeds)]
        return 100 * (1 - evaluate(problem, run.final, test.to(lab.device), rows=at)["accuracy"].cpu().numpy())

    return by_arm(lab, problem, setting.arms, seeds, rows, setting.target, error)


def slope(arms: Sequence[Arm], values: Array) -> Array:
    """Of values (arms, seeds) per decade of rate / batch, by least squares: (seeds,)."""
    decades = np.log10([arm.rate / arm.batch for arm in arms])
    return np.polyfit(decades, values, 1)[0]


def of_ratio(noisy: Array, quiet: Array) -> Interval:
    """The risk of one arm over another's; unknown where a run did not come to the loss."""
    if not np.isfinite([noisy, quiet]).all():
        return Interval.missing(ALL_AT)
    return interval.geometric_mean(noisy / quiet)


def of_slope(setting: Setting, found: Mapping[str, Array]) -> Interval:
    """Points of test error per decade over the batch sizes; unknown where a network did not come to the loss."""
    arms = dict(list(setting.arms.items())[: len(setting.batches)])
    values = np.stack([found[name] for name in arms])
    return interval.mean(slope(list(arms.values()), values)) if np.isfinite(values).all() else Interval.missing(ALL_AT)


def of_both(setting: Setting, found: Mapping[str, Array]) -> Interval:
    """What twice the rate and the batch add to the test error; unknown where a network did not come to the loss."""
    values = found[BOTH] - found[f"batch {setting.batches[0]}"]
    return interval.mean(values) if np.isfinite(values).all() else Interval.missing(ALL_AT)


def of_linear(seeds: Sequence[int]) -> float:
    """The null: on linear regression from 0 the risk of SGD's limit over that of full batches, farthest from 1."""
    drawn = [sparse_linear(EXAMPLES, INPUTS, nonzero=NONZERO, seed=seed) for seed in seeds]
    sets = [one.train for one in drawn if isinstance(one.train, Examples)]
    x, y = (np.stack([np.asarray(getattr(one, part), dtype=float) for one in sets]) for part in ("inputs", "targets"))
    truth = np.stack([one.ground_truth["coefficients"][:, 0].double().numpy() for one in drawn])
    found = limit_points(x, y[..., 0], rules=["gradient descent", "SGD"])
    full, single = ((found["limit"] - truth) ** 2).sum(2)
    ratios = single / full
    return float(ratios[np.abs(np.log(ratios)).argmax()])


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train at several batch sizes, and read the risk of each where its training loss is the same."""
    seeds = lab.seeds(quick=6, full=20).scored
    by_size = {f"batch {size}": Arm(RATE, size) for size in BATCHES[lab.scale]}
    beside = {TWICE: Arm(2 * RATE, EXAMPLES)}
    beside |= lab.pick(quick={}, full={QUARTER: Arm(RATE / 4, 1, 4 * STEPS)})
    risks = of_diagonal(lab, by_size | beside, seeds)
    settings = SETTINGS if lab.scale == "full" else ()
    of_those = seeds[:12]
    errors = {setting.name: of_networks(lab, setting, of_those) for setting in settings}
    missing = Interval.missing("trained at full scale alone")
    single, full = risks["batch 1"], risks[f"batch {EXAMPLES}"]
    parts = {
        DIAGONAL: of_ratio(single, full),
        SIGNALS: missing,
        DIGITS: missing,
        **{setting.name: of_slope(setting, errors[setting.name]) for setting in settings},
        TWICE: of_ratio(risks[TWICE], full),
        QUARTER: of_ratio(risks[QUARTER], single) if QUARTER in risks else missing,
        BOTH: of_both(SETTINGS[0], errors[SIGNALS]) if SIGNALS in errors else missing,
    }
    logs = np.log10(np.stack([risks[name] for name in by_size]))
    steepness = (
        interval.mean(slope(list(by_size.values()), logs)) if np.isfinite(logs).all() else Interval.missing(ALL_AT)
    )
    null = of_linear(seeds[:2])
    ratios = {name: of_ratio(of, full).estimate for name, of in risks.items()}
    return lab.finding(
        parts=parts,
        ran={"networks on MNIST-1D at each batch size": len(of_those) if settings else 0},
        figures=figure(risks, by_size, {name: parts[name] for name in errors}),
        readings=[
            lab.reading("risk of diagonal linear nets", list(risks.values()), {"arm": list(risks), "seed": seeds}),
            *(
                lab.reading(
                    f"test error, {name}", list(found.values()), {"arm": list(found), "seed": of_those}, unit="%"
                )
                for name, found in errors.items()
            ),
        ],
        sentences=[
            f"Diagonal linear net, at a mean square of {TARGET:g}: single examples have {parts[DIAGONAL].estimate:.2f} "
            f"times the risk of full batches, and the risk changes by a factor of {10**steepness.estimate:.2f} per "
            f"decade of rate / batch. Times the risk of full batches, too: "
            + ", ".join(f"{name} {ratios[name]:.2f}" for name in beside)
            + ".",
            f"In linear regression SGD and full batches come to one limit: the ratio of risks is {null:.12f}.",
            *(of_setting(setting, errors[setting.name], parts[setting.name]) for setting in settings),
        ],
        numbers={
            "risk / that of full batches": {name: one for name, one in ratios.items() if np.isfinite(one)},
            "log10 risk per decade of rate / batch": str(steepness),
            "the same of linear regression": null,
            "mean test error": {
                name: {arm: float(values.mean()) for arm, values in found.items() if np.isfinite(values).all()}
                for name, found in errors.items()
            },
        },
    )


def of_setting(setting: Setting, found: Mapping[str, Array], per_decade: Interval) -> str:
    """What networks did."""
    each = ", ".join(f"{values.mean():.1f} ({name})" for name, values in found.items())
    return (
        f"MLP on {setting.name} at a training loss of {setting.target:g}, rate {setting.rate:g}: test error in points "
        f"{each}; {per_decade} points per decade of rate / batch."
    )


def figure(risks: Mapping[str, Array], arms: Mapping[str, Arm], slopes: Mapping[str, Interval]) -> Figure:
    """Risk against rate / batch, and the slopes of networks."""
    there = {name: arm for name, arm in arms.items() if np.isfinite(risks[name]).all()}
    noise = [2 * arm.rate / arm.batch for arm in there.values()]
    full = [np.exp(np.log(risks[f"batch {EXAMPLES}"]).mean())] if f"batch {EXAMPLES}" in there else []
    panel = Figure.of(
        "Diagonal linear net",
        [
            interval_line(noise, [interval.geometric_mean(risks[name]) for name in there], label="SGD"),
            *(ReferenceLine(float(level), label="full batches") for level in full),
        ],
        Axis("rate / batch", scale="log"),
        Axis("risk", scale="log"),
        caption=f"{len(next(iter(risks.values())))} seeds, geometric means with 95 % intervals at a training mean "
        f"square of {TARGET:g}.",
    )
    if not slopes:
        return panel
    bars = Figure.of("MLPs", [interval_bars(slopes)], Axis(), Axis("test error per decade of rate / batch", "points"))
    return Figure.row([panel, bars], title="What the noise of gradients does", caption=panel.caption)
