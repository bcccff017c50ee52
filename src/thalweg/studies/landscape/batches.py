"""LAN5: how sharp the minima are that small and large batches find, each batch size at its own best rate.

The loss is squared error, which has minima: cross-entropy of examples that can be told apart has none, and its
curvature falls as long as one trains, so that batch sizes would differ by how far they came. Errors are much the same
over a range of rates, and curvature is not; so each scored seed takes the rates that were best on a tuning seed of its
own, and the interval over seeds also covers the doubt about the rates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from thalweg import curvature, spectra, sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.data import Data, Examples
from thalweg.evaluation import Evaluator, Sample
from thalweg.figures import Axis, Figure, Line
from thalweg.nets import mlp
from thalweg.optim import Momentum
from thalweg.population import Population, Problem
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.landscape.sets import few_and_others
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN5",
    statement="With the rate tuned for each batch size, larger batches end at a larger largest eigenvalue of the "
    "Hessian, at equal epochs and at equal steps.",
    lecture="Small batches are noisy and find flat minima; large batches are smooth and find sharp ones.",
    rule=greater(0),
    unit="slope of log largest eigenvalue against log batch size, of the arm where it is smaller",
    corrected="The noise of steps grows with the rate as it falls with the batch size (Jastrzębski et al., 2017, "
    "arXiv:1711.04623), so what a batch size finds depends on the rate that goes with it; and of networks that saw "
    "unequally many examples, the sharper need not err more.",
)
EXAMPLES, EPOCHS, STEPS = 512, 40, 640
ARMS = ("equal epochs", "equal steps", "equal steps, one rate")
ONE_RATE = 0.16
# The smallest and largest rate tried of each arm and batch size, each twice the one before: up to where nothing trains
# or errors are larger, and down to where few of the seeds 900 to 911, on which nothing is scored, erred least.
BY_EPOCHS = {
    8: (0.02, 0.64),
    16: (0.04, 1.28),
    32: (0.08, 1.28),
    64: (0.16, 2.56),
    128: (0.16, 2.56),
    256: (0.32, 5.12),
}
BY_STEPS = {8: (0.04, 0.64)} | dict.fromkeys((16, 32, 64, 128, 256), (0.08, 1.28))


@dataclass(frozen=True)
class Setting:
    """How one batch size is trained in one arm: at which rates, for how many steps."""

    size: int
    rates: tuple[float, ...]
    steps: int

    @classmethod
    def of(cls, arm: str, size: int, *, ends: bool = True) -> "Setting":
        """That of an arm, with or without the smallest and the largest rate."""
        by_epochs = arm == ARMS[0]
        low, high = (BY_EPOCHS if by_epochs else BY_STEPS)[size]
        rates = [low * 2**power for power in range(round(np.log2(high / low)) + 1)]
        return cls(size, tuple(rates if ends else rates[1:-1]), EPOCHS * EXAMPLES // size if by_epochs else STEPS)

    def train(self, lab: Lab, problem: Problem, seeds: list[int]) -> Population:
        """Members (rates, seeds)."""
        recipe = Recipe(
            Momentum(sweep.values(self.rates)), self.steps, self.size, evaluate=0, evaluate_train_on=Sample("train", 64)
        )
        label = f"LAN5, {self.steps:,} batches of {self.size}"
        return train(problem, recipe, seeds, progress=labelled(lab, label)).final


def problem_of(lab: Lab) -> Problem:
    """512 digits to train on, half of all others to tune on and the other half to test on, by squared error."""
    data = few_and_others(EXAMPLES, lab.seed, "batches")
    sets = [
        Examples(part.inputs, one_hot(torch.as_tensor(part.targets), 10).float())
        for part in (data.train, data.test)
        if isinstance(part, Examples)
    ]
    return Problem(
        lambda: mlp(64, 32, 32, 10),
        Data(*sets, name=data.name),
        "squared_error",
        metrics={"error": lambda outputs, target: (outputs.argmax(-1) != target.argmax(-1)).float()},
        device=lab.device,
    )


def slopes(batches: Sequence[int], values: Array) -> Array:
    """Least-squares slopes of log values (batch sizes, seeds) against log batch size: (seeds,)."""
    return np.polyfit(np.log(batches), np.log(values), 1)[0]


@dataclass(frozen=True, eq=False)
class Ended:
    """What a batch size came to in an arm, a network a scored seed.

    Args:
        networks: the population.
        rate: of each: (seeds,).
        error: on the digits to test on: (seeds,).
        at_ends: whether the rate is the smallest or largest tried: (seeds,).
    """

    networks: Population
    rate: Array
    error: Array
    at_ends: NDArray[np.bool_]

    @classmethod
    def of(cls, problem: Problem, population: Population, rates: Sequence[float], only: float | None = None) -> "Ended":
        """Of members (rates, tuning and scored seeds) those of each scored seed at its tuning seed's best rate.

        That is where it errs least on the digits to tune on. With `only`, all are at that rate.
        """
        assert problem.data.test is not None
        wrong = Evaluator(problem, population, problem.data.test).by_example()["error"].numpy()
        tuned, tested = (part.mean(1).reshape(len(rates), -1) for part in np.array_split(wrong, 2, axis=1))
        count = tuned.shape[1] // 2
        best = tuned[:, :count].argmin(0) if only is None else np.full(count, np.isclose(rates, only).argmax())
        scored = count + np.arange(count)
        members = torch.as_tensor(best * 2 * count + scored)
        return cls(population[members], np.array(rates)[best], tested[best, scored], np.isin(best, (0, len(rates) - 1)))


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN5."""
    count = lab.pick(quick=3, full=16)
    tuning, seeds = tuning_and_scored(lab, count, count)
    batches = lab.pick(quick=(32, 128), full=tuple(BY_EPOCHS))
    problem, whole = problem_of(lab), lab.scale == "full"
    settings = {(arm, size): Setting.of(arm, size, ends=whole) for arm in ARMS for size in batches}
    final = {each: each.train(lab, problem, tuning + seeds) for each in dict.fromkeys(settings.values())}
    ended = [
        Ended.of(problem, final[each], each.rates, only=ONE_RATE if arm == ARMS[2] else None)
        for (arm, _), each in settings.items()
    ]
    networks = ended[0].networks[[0]].with_theta(torch.cat([one.networks.theta for one in ended]))
    found = spectra.top_eigenvalues(curvature.hessian(problem, networks), 1, seed=lab.seed)
    losses = Evaluator(problem, networks, problem.data.train)()["loss"].numpy()
    sharpness, loss, error, rate, at_ends = (
        np.reshape(values, (len(ARMS), len(batches), count))
        for values in (
            found.values,
            losses,
            *([getattr(one, name) for one in ended] for name in ("error", "rate", "at_ends")),
        )
    )
    across = {arm: interval.mean(slopes(batches, values)) for arm, values in zip(ARMS, sharpness, strict=True)}
    typical, usual = (np.exp(np.log(values).mean(2)) for values in (sharpness, rate))
    verdict = CLAIM.judge(
        min((across[arm] for arm in ARMS[:2]), key=lambda end: end.estimate),
        numbers={
            "slope, 95 % interval": {arm: [end.low, end.estimate, end.high] for arm, end in across.items()},
            "batch sizes": list(batches),
            "best rate, geometric mean": dict(zip(ARMS, usual.tolist(), strict=True)),
            "share of best rates that are the smallest or largest tried": float(at_ends[:2].mean()),
            "largest eigenvalue, geometric mean": dict(zip(ARMS, typical.tolist(), strict=True)),
            "training loss": dict(zip(ARMS, loss.mean(2).tolist(), strict=True)),
            "test error": dict(zip(ARMS, error.mean(2).tolist(), strict=True)),
        },
    )
    at = np.array(batches, dtype=float)
    panels = [
        Figure.of(
            title,
            tuple(banded(at, values, mean, arm) for arm, values in zip(ARMS, by_arm, strict=True)),
            Axis("batch size", scale="log"),
            axis,
        )
        for title, by_arm, mean, axis in (
            (
                "Sharpness",
                sharpness,
                lambda each: interval.ratio(each, np.ones(count)),
                Axis("largest eigenvalue", scale="log"),
            ),
            ("Test error", 100 * error, interval.mean, Axis("test error", "%")),
        )
    ]
    figure = Figure.row(
        panels,
        title="What small and large batches find",
        caption=f"{EXAMPLES} digits, squared error, MLP 64-32-32-10, momentum at the best rate of each batch size, or "
        f"at {ONE_RATE:g}; {EPOCHS} epochs or {STEPS} steps. Means over {count} seeds, of eigenvalues geometric ones, "
        "with 95 % intervals.",
    )
    coordinates = {"arm": ARMS, "batch size": batches, "seed": seeds}
    yield Finding(
        verdict,
        figures=(figure,),
        readings=tuple(
            reading(lab, name, values, coordinates)
            for name, values in (
                ("largest eigenvalue of the Hessian", sharpness),
                ("training loss", loss),
                ("test error", error),
                ("rate", rate),
            )
        ),
        sentences=tuple(
            f"At {arm} the largest eigenvalue goes from {middle[0]:.2f} with batches of {batches[0]} to "
            f"{middle[-1]:.2f} with {batches[-1]}, as the power {across[arm]} of the batch size; the rate from "
            f"{taken[0]:.2f} to {taken[-1]:.2f}, and the test error from {each[0]:.1%} to {each[-1]:.1%}."
            for arm, middle, taken, each in zip(ARMS, typical, usual, error.mean(2), strict=True)
        ),
    )


def banded(at: Array, values: Array, mean: Callable[[Array], interval.Interval], label: str) -> Line:
    """The mean of values (points, seeds) at every point, with its interval as the band."""
    each = [mean(row) for row in values]
    middle, low, high = np.array([(end.estimate, end.low, end.high) for end in each]).T
    return Line(at, middle, low=low, high=high, label=label)
