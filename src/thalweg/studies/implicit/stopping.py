"""IMP3: stopping early is ridge in linear models, and in networks lowers the error where labels are noisy.

A label that is noisy is another than the true one: 20 % noise is 20 % wrong labels.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.data import Data, Examples, pooled
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.implicit import EarlyStoppingPath, early_stopping_path
from thalweg.generalization.implicit.early_stopping_path import DISTANCE, RISK_RATIO
from thalweg.population import Problem
from thalweg.statistics import POSITIVE, Interval, interval
from thalweg.studies.implicit.exact import largest
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
RISK, APART, LITTLE, MUCH, CLEAN, RANDOM = "risk", "distance", "20 % noise", "40 % noise", "clean", "random step"
FALLS, RISES = "clean, error after the stop", "clean, loss after the stop"
NOISE = {CLEAN: 0.0, LITTLE: 0.2, MUCH: 0.4}
POINTS = "points of test error"
CLAIM = Claim(
    id="IMP3",
    statement="In linear regression gradient flow stopped at t has at most 1.6862 times the risk of ridge with penalty "
    "1 / t, at every t. In an MLP 64-256-10 on 500 digits (1,500 steps of Adam) stopping at the lowest validation loss "
    "lowers the test error by more than 2 points with 20 % of the labels wrong, by more than 5 with 40 %, and changes "
    "it by less than a point with none.",
    lecture="Early stopping: implicit regularization.",
    rule=every_part(),
    unit=POINTS,
    budget={"steps": 1_500},
    corrected="It needs noise to gain much. Without it the risk of a linear model only falls, and a network's loss can "
    "rise while its error does not: a lower loss is not a lower error. What both do after the stop is measured beside.",
    parts=(
        Part(RISK, "The risk is at most 1.6862 times ridge's.", less(RISK_RATIO), "risk / ridge's", bounds=POSITIVE),
        Part(APART, "The solutions are at most 0.2299 apart.", less(DISTANCE), "distance / norm", bounds=POSITIVE),
        Part(LITTLE, "With 20 % wrong labels stopping lowers the error.", greater(2), POINTS),
        Part(MUCH, "With 40 % wrong labels it does.", greater(5), POINTS),
        Part(CLEAN, "Without it changes little.", within(-1, 1), POINTS),
        Part(FALLS, "There the test error falls further after the stop.", less(0), POINTS, decides=False),
        Part(RISES, "There the test loss rises after the stop.", greater(0), "nats, end - stopped", decides=False),
        Part(
            RANDOM,
            "With 40 % it lowers the error by more than a random step of the later half of the log axis does.",
            greater(0),
            POINTS,
            decides=False,
        ),
    ),
)
EXAMPLES, DRAWS = 100, 20
DESIGNS = {"50 features": 50, "90 features": 90, "200 features": 200, "90 of falling variance": 90}
FALLING = "90 of falling variance"
WRONG_FACTORS = (0.1, 10.0)
N, VALIDATION, STEPS, EVALUATIONS = 500, 250, 1_500, 40
RECIPE_STEPS = tuple(np.unique(np.geomspace(5, STEPS, EVALUATIONS).round()).astype(int).tolist())
RECIPE = Recipe(optim.Adam(2e-3), STEPS, 100, evaluate=RECIPE_STEPS, snapshot=RECIPE_STEPS)


def paths(design: str, seeds: Sequence[int], factor: float = 1.0, noise: float = 1.0) -> list[EarlyStoppingPath]:
    """Flow against ridge on a draw of the design for each seed, with coefficients of length about 1."""
    features, found = DESIGNS[design], []
    for seed in seeds:
        rng = np.random.default_rng([seed, features])
        x, beta = rng.normal(size=(EXAMPLES, features)), rng.normal(size=features) / np.sqrt(features)
        if design == FALLING:
            x = x / np.arange(1, features + 1)
        y = x @ beta + noise * rng.normal(size=EXAMPLES)
        found.append(early_stopping_path(x, y, coefficients=beta, noise=noise, factor=factor))
    return found


def worst(found: Sequence[EarlyStoppingPath]) -> tuple[float, float]:
    """The largest risk ratio, and the largest distance of the two solutions, over times and draws."""
    risk, apart = (float(max(one[name].max() for one in found)) for name in ("risk ratio", "relative distance"))
    return risk, apart


@dataclass(frozen=True, eq=False)
class Watched:
    """Networks at their evaluations.

    Args:
        steps: (evaluations,).
        validation_loss, error, loss: the last two of test examples, the error in points: (seeds, evaluations).
    """

    steps: NDArray[np.int64]
    validation_loss: Array
    error: Array
    loss: Array

    @property
    def stop(self) -> NDArray[np.int64]:
        """Where the validation loss is lowest: (seeds,)."""
        return self.validation_loss.argmin(1)

    def stopped(self, values: Array) -> Array:
        """What they were there: (seeds,)."""
        return values[np.arange(len(values)), self.stop]

    @property
    def gain(self) -> Array:
        """By how many points of test error stopping is better than the last step: (seeds,)."""
        return self.error[:, -1] - self.stopped(self.error)

    @property
    def gain_at_random(self) -> Array:
        """The same of a random evaluation of the later half, in the mean over them: (seeds,)."""
        return self.error[:, -1] - self.error[:, self.error.shape[1] // 2 :].mean(1)


def watched(
    lab: Lab, given: Data, seeds: Sequence[int], noise: Mapping[str, float], *, n: int, validation: int
) -> dict[str, Watched]:
    """Train on n examples of each seed, with wrong labels in these and in those for validation alone, by their share.

    All are one population: a seed has the same examples, start and batches whatever its labels.
    """
    sets: tuple[list[Examples], ...] = ([], [], [])
    for share, seed in itertools.product(noise.values(), seeds):
        split = given.split_anew(n + validation, seed=seed, stream="implicit stopping")
        noisy = (split.with_label_noise(share, seed) if share else split).train
        assert isinstance(noisy, Examples)
        assert isinstance(split.test, Examples)
        parts = noisy.select(torch.arange(n)), noisy.select(torch.arange(n, n + validation)), split.test
        for held, part in zip(sets, parts, strict=True):
            held.append(part)
    (own, rows), (held_out, held_rows), (test, test_rows) = (pooled(part) for part in sets)
    assert isinstance(own.inputs, torch.Tensor)
    inputs = own.inputs.shape[1]
    assert given.classes is not None
    problem = Problem(
        lambda: nets.mlp(inputs, 256, 10), Data(own, held_out, given.name, given.classes), device=lab.device
    )
    label = f"{given.name}, {', '.join(noise)}"
    run = lab.train(problem, RECIPE, list(seeds) * len(noise), label, examples=rows, test_examples=held_rows)
    steps = np.array(RECIPE_STEPS)
    kept = [evaluate(problem, run.snapshots[step], test.to(lab.device), rows=test_rows) for step in steps.tolist()]
    at = np.isin(run.history.steps, steps)
    error, loss = (np.stack([one[name].cpu().numpy() for one in kept], 1) for name in ("accuracy", "loss"))
    whole = run.history["test_loss"][at].T, 100 * (1 - error), loss
    apart = zip(*(values.reshape(len(noise), len(seeds), -1) for values in whole), strict=True)
    return {name: Watched(steps, *own) for name, own in zip(noise, apart, strict=True)}


def judged(linear: Mapping[str, Sequence[EarlyStoppingPath]], networks: Mapping[str, Watched]) -> dict[str, Interval]:
    """Every part."""
    risks, distances = zip(*map(worst, linear.values()), strict=True)
    text = f"over times and draws of {len(linear)} designs"
    noisy, clean = networks[MUCH], networks[CLEAN]
    return {
        RISK: largest(risks, text),
        APART: largest(distances, text),
        **{name: interval.mean(networks[name].gain) for name in (LITTLE, MUCH, CLEAN)},
        FALLS: interval.mean(clean.gain),
        RISES: interval.mean(clean.loss[:, -1] - clean.stopped(clean.loss)),
        RANDOM: interval.mean(noisy.gain - noisy.gain_at_random),
    }


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Flow and ridge in closed form, and networks that are stopped on validation and scored on test examples."""
    draws = [1_000 * lab.seed + draw for draw in range(DRAWS)]
    linear = {design: paths(design, draws) for design in DESIGNS}
    wrong = {factor: [worst(paths(design, draws, factor)) for design in DESIGNS] for factor in WRONG_FACTORS}
    seeds = lab.seeds(quick=6, full=12).scored
    networks = watched(lab, data.digits(), seeds, NOISE, n=N, validation=VALIDATION)
    signals = (
        watched(lab, data.mnist1d(), seeds, {CLEAN: 0.0}, n=1_000, validation=500)[CLEAN]
        if lab.scale == "full"
        else None
    )
    parts = judged(linear, networks)
    lowered = {
        design: [float(np.median([one["final over stopped"][0] for one in found]))] for design, found in linear.items()
    }
    tuned = max(float(one["tuned ratio"].max()) for found in linear.values() for one in found)
    gains = {name: float(one.gain.mean()) for name, one in networks.items()}
    at_random = float(networks[MUCH].gain_at_random.mean())
    apart = min(distance for of in wrong.values() for _, distance in of)
    return lab.finding(
        parts=parts,
        ran={"steps": STEPS},
        figures=figure(linear, networks),
        readings=[
            lab.reading(
                f"test error, {name}",
                one.error,
                {"seed": seeds, "step": one.steps},
                unit="%",
                notes=(f"Stopped at the steps {one.steps[one.stop].tolist()}.",),
            )
            for name, one in networks.items()
        ],
        sentences=[
            f"Linear: the risk of flow at t is at most {parts[RISK].high:.2f} times that of ridge at 1 / t, and each "
            f"at its best t at most {tuned:.2f} times; the solutions are at most {parts[APART].high:.2f} apart, and "
            f"with ten times or a tenth of the penalty at least {apart:.2f} somewhere in each design. At the end the "
            f"risk is {', '.join(f'{of[0]:.1f} ({design})' for design, of in lowered.items())} times that at the best.",
            "Networks: stopped at the lowest validation loss, instead of at the end, they err by "
            + ", ".join(f"{gain:.1f} points less ({name})" for name, gain in gains.items())
            + f"; with {MUCH} at a random step of the later half of the log axis by {at_random:.1f}.",
            *([of_signals(signals)] if signals is not None else []),
        ],
        numbers={
            "gain in points of test error": gains,
            "gain at a random step": {name: float(one.gain_at_random.mean()) for name, one in networks.items()},
            "test loss at the end and stopped": {
                name: [float(one.loss[:, -1].mean()), float(one.stopped(one.loss).mean())]
                for name, one in networks.items()
            },
            "largest risk ratio and distance with wrong penalties": {
                f"{factor:g} / t": dict(zip(DESIGNS, map(list, of), strict=True)) for factor, of in wrong.items()
            },
        },
    )


def of_signals(found: Watched) -> str:
    """What was found on clean MNIST-1D."""
    return (
        f"On 1,000 clean signals of MNIST-1D the rule changes the test error by {-found.gain.mean():+.1f} points, "
        f"while the test loss is {found.stopped(found.loss).mean():.2f} nats instead of "
        f"{found.loss[:, -1].mean():.2f}: error and loss are not the same question."
    )


def figure(linear: Mapping[str, Sequence[EarlyStoppingPath]], networks: Mapping[str, Watched]) -> Figure:
    """Test error over training at all noise levels, and both paths of a linear model."""
    marks: list[Line | ReferenceLine] = [
        Line(one.steps, one.error.mean(0), label=name) for name, one in networks.items()
    ]
    marks += [
        ReferenceLine(float(np.exp(np.log(one.steps[one.stop]).mean())), "vertical", label=f"stopped, {name}")
        for name, one in networks.items()
    ]
    design = "90 features"
    first = linear[design][0]
    times = first.reading.coordinate("time")
    return Figure.row(
        [
            Figure.of("Networks", marks, Axis("step", scale="log"), Axis("test error", "%")),
            Figure.of(
                f"Linear regression, {design}",
                [Line(times, first[path][0], label=path) for path in ("flow", "ridge")],
                Axis("time t, or 1 / penalty", scale="log"),
                Axis("estimation risk", scale="log"),
            ),
        ],
        title="Stopping early",
        caption=f"Left: means over {len(networks[CLEAN].error)} seeds, MLP 64-256-10 on {N} digits, clean test labels; "
        f"lines are where the validation loss is lowest. Right: one draw of {EXAMPLES} examples, exact.",
    )
