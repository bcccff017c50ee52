"""LAN3: whether flat minima generalize better, among networks trained to the same loss; and what rescaling units does.

Networks differ by rate and batch size. Each is measured where its training loss first is at or below one level, so
that they hardly differ by it; sharpness and test error are ranked against each other within each seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from thalweg import curvature, spectra, sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.data import Data, Examples
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Bars, Figure, Scatter
from thalweg.nets import mlp
from thalweg.optim import SGD
from thalweg.population import Population, Problem, rescaled
from thalweg.randomness import generator
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.landscape.filters import scales
from thalweg.studies.landscape.sets import few_and_others
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, Run, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN3",
    statement="Of networks trained to the same loss with different rates and batch sizes, those with a larger largest "
    "eigenvalue of the Hessian have a larger test error.",
    lecture="Sharp minima generalize poorly, flat minima well.",
    rule=greater(0),
    unit="Kendall's tau of the largest eigenvalue and the test error, over rates and batch sizes of a seed",
    corrected="Only of networks as training leaves them. Rescaling the units of a ReLU network keeps its function, so "
    "its test error too, and makes it as sharp as you like (Dinh et al., 2017, arXiv:1703.04933); measures relative to "
    "the parameters do not see it.",
)
# Set on the seeds 900 to 902, on which nothing is scored, before any sharpness was ranked: with these most networks
# come to the level soon, and test errors differ from cell to cell. The labels flipped make them differ more.
EXAMPLES, NOISE, LEVEL, EVERY = 128, 0.1, 0.1, 15
RATES, BATCHES = (0.13, 0.2, 0.3, 0.45), (8, 16, 32, 64)
Measure = Callable[[Problem, Population, int], Array]
PRIMARY, CONTROL = "largest eigenvalue", "training loss"
# At worst, radii of SAM (Foret et al., 2021, arXiv:2010.01412) and ASAM (Kwon et al., 2021, arXiv:2102.11600); on
# average longer ones, as noise is spread over all parameters.
MEASURES: dict[str, Measure] = {
    PRIMARY: lambda problem, at, seed: spectra.top_eigenvalues(curvature.hessian(problem, at), 1, seed=seed).values[
        :, 0
    ],
    "trace": lambda problem, at, seed: spectra.trace(curvature.hessian(problem, at), products=16, seed=seed)["trace"],
    "worst case": lambda problem, at, seed: curvature.worst_case_sharpness(problem, at, radius=0.05, seed=seed)[
        "sharpness"
    ],
    "average case": lambda problem, at, seed: curvature.average_case_sharpness(problem, at, radius=0.5, seed=seed)[
        "sharpness"
    ],
    "Keskar's": lambda problem, at, seed: curvature.keskar_sharpness(problem, at, seed=seed)["sharpness"],
    "adaptive worst": lambda problem, at, seed: curvature.worst_case_sharpness(
        problem, at, radius=0.5, adaptive=True, seed=seed
    )["sharpness"],
    "adaptive average": lambda problem, at, seed: curvature.average_case_sharpness(
        problem, at, radius=3.0, adaptive=True, seed=seed
    )["sharpness"],
    "Fisher-Rao": lambda problem, at, seed: curvature.fisher_rao_norm(problem, at)["squared norm"],
}


def parts(lab: Lab) -> tuple[Data, Examples]:
    """A few digits, some labels flipped, to train on, and all other digits, with their own labels, to test on."""
    data = few_and_others(EXAMPLES, lab.seed, "flatness")
    assert isinstance(data.test, Examples)
    trained_on = Data(data.train, None, data.name, data.classes).with_label_noise(NOISE, seed=lab.seed)
    return trained_on, data.test.to(lab.device)


def first_at_or_below(losses: Array, level: float) -> NDArray[np.int64]:
    """The first row of losses (evaluations, members) where each member is at or below the level; -1 where none is."""
    below = losses <= level
    return np.where(below.any(0), below.argmax(0), -1)


def at_rows(run: Run, rows: NDArray[np.int64], members: NDArray[np.int64]) -> Population:
    """Members of a run, each at the snapshot of its own row."""
    snapshots = list(run.snapshots.values())
    theta = torch.stack([snapshots[row].theta[member] for row, member in zip(rows, members, strict=True)])
    return run.final[torch.as_tensor(members)].with_theta(theta)


def layers_rescaled(population: Population, seed: int, numbers: Sequence[int] | None = None) -> Population:
    """The units of each hidden layer of a ReLU network times a number of the member's, outgoing weights by that number.

    Numbers are even in their logarithm over `SCALES`. With one for each unit they would average out, and all members
    become sharper by much the same factor. A member's come from a stream of its own, by its number (None: its place).
    """
    layers = [entry.name.removesuffix(".weight") for entry in population.layout if entry.name.endswith("weight")]
    members = range(len(population)) if numbers is None else numbers
    draws = [generator(seed, "layer scales", number) for number in members]
    for layer, following in pairwise(layers):
        share = torch.stack([torch.rand(1, generator=draw) for draw in draws])
        population = rescaled(population, layer, scales(share), undone_by=following)
    return population


def taus(measure: Array, error: Array) -> Array:
    """Kendall's tau-b of (cells, seeds) within each seed, over the cells that are numbers in both: (seeds,)."""
    found = []
    for one, other in zip(measure.T, error.T, strict=True):
        known = np.isfinite(one) & np.isfinite(other)
        found.append(stats.kendalltau(one[known], other[known]).statistic if known.sum() > 1 else np.nan)
    return np.array(found, dtype=np.float64)


def granulated(measure: Array, error: Array) -> dict[str, float]:
    """Kendall's tau of (batch sizes, rates, seeds) where one of the two differs, the other being held.

    The mean over what is held and over seeds, as far as there are pairs to rank (Jiang et al., 2020, arXiv:1912.02178).
    """
    at_rate = zip(measure.swapaxes(0, 1), error.swapaxes(0, 1), strict=True)
    return {
        "rates at one batch size": float(np.nanmean([taus(*cells) for cells in zip(measure, error, strict=True)])),
        "batch sizes at one rate": float(np.nanmean([taus(*cells) for cells in at_rate])),
    }


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN3."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=5, full=12))
    batches, steps = lab.pick(quick=BATCHES[1::2], full=BATCHES), lab.pick(quick=660, full=1_500)
    data, others = parts(lab)
    problem = Problem(lambda: mlp(64, 32, 32, 10), data, device=lab.device)
    kept = tuple(range(0, steps + 1, EVERY))
    recipe = Recipe(SGD(sweep.values(RATES)), steps, sweep.values(batches), evaluate=kept, snapshot=kept)
    run = train(problem, recipe, seeds, progress=labelled(lab, "LAN3, training"))
    rows = first_at_or_below(run.history["train_loss"], LEVEL)
    members = np.flatnonzero(rows >= 0)
    trained = at_rows(run, rows[members], members)
    networks = {"as trained": trained, "layers rescaled": layers_rescaled(trained, lab.seed, members.tolist())}
    shape = (len(batches), len(RATES), len(seeds))

    def placed(values: Array) -> Array:
        """Values of the members that reached the loss, NaN elsewhere: (batch sizes, rates, seeds)."""
        table = np.full(len(rows), np.nan)
        table[members] = values
        return table.reshape(shape)

    losses = run.history["train_loss"][rows[members], members]
    errors = {
        name: placed(1 - evaluate(problem, population, others)["accuracy"].numpy())
        for name, population in networks.items()
    }
    error = errors["as trained"]
    sharpness = {
        name: {CONTROL: placed(losses)}
        | {what: placed(measure(problem, population, lab.seed)) for what, measure in MEASURES.items()}
        for name, population in networks.items()
    }
    ranked = {
        name: {what: taus(*(table.reshape(-1, len(seeds)) for table in (values, error))) for what, values in of.items()}
        for name, of in sharpness.items()
    }
    ends = {name: {what: interval.mean(each) for what, each in of.items()} for name, of in ranked.items()}
    factors = {what: sharpness["layers rescaled"][what] / sharpness["as trained"][what] for what in MEASURES}
    typical = {what: float(np.exp(np.nanmean(np.log(values)))) for what, values in factors.items()}
    moved = float(np.nanmax(np.abs(errors["layers rescaled"] - error)))
    verdict = CLAIM.judge(
        ends["as trained"][PRIMARY],
        numbers={
            "Kendall's tau, 95 % interval": {
                name: {what: [end.low, end.estimate, end.high] for what, end in of.items()} for name, of in ends.items()
            },
            "tau of the largest eigenvalue over": granulated(sharpness["as trained"][PRIMARY], error),
            "times as sharp with layers rescaled": typical,
            "largest change of test error with layers rescaled": moved,
            "networks": len(rows),
            "networks that did not come to the loss, left out": len(rows) - len(members),
            "training losses": [float(losses.min()), float(losses.max())],
            "test errors": [float(np.nanmin(error)), float(np.nanmax(error))],
        },
    )
    bars = Figure.of(
        "Rank correlation with the test error",
        tuple(
            Bars(
                tuple(of),
                np.array([end.estimate for end in of.values()]),
                low=np.array([end.low for end in of.values()]),
                high=np.array([end.high for end in of.values()]),
                label=name,
            )
            for name, of in ends.items()
        ),
        y=Axis("Kendall's tau", limits=(-1, 1)),
    )
    points = Figure.of(
        "Every network twice",
        tuple(Scatter(of[PRIMARY].ravel(), 100 * error.ravel(), label=name) for name, of in sharpness.items()),
        Axis("largest eigenvalue of the Hessian", scale="log"),
        Axis("test error", "%"),
    )
    figure = Figure.row(
        (bars, points),
        title="Sharpness and test error at equal training loss",
        caption=f"{len(members)} networks MLP 64-32-32-10, {len(RATES)} rates x {len(batches)} batch sizes x "
        f"{len(seeds)} seeds, each where it first came to a training loss of {LEVEL}. Bars are means over seeds with "
        "95 % intervals; the training loss itself is the control.",
    )
    nets = list(networks)
    cells = {"batch size": batches, "rate": RATES, "seed": seeds}
    yield Finding(
        verdict,
        figures=(figure,),
        readings=(
            reading(
                lab,
                "Kendall's tau",
                np.array([list(of.values()) for of in ranked.values()]),
                {"networks": nets, "measure": [CONTROL, *MEASURES], "seed": seeds},
            ),
            reading(
                lab,
                "sharpness",
                np.array([list(of.values()) for of in sharpness.values()]),
                {"networks": nets, "measure": [CONTROL, *MEASURES], **cells},
            ),
            reading(lab, "test error", error, cells),
        ),
        sentences=(
            f"{len(members)} of {len(rows)} networks came to a training loss of {LEVEL}; their test errors go from "
            f"{np.nanmin(error):.1%} to {np.nanmax(error):.1%}.",
            *signs({what: ends["as trained"][what] for what in MEASURES}),
            f"The training loss itself, which differs by what one snapshot makes, has tau "
            f"{shown(ends['as trained'][CONTROL])}.",
            f"Rescaling layers, which changes no test error by more than {moved:.2%}, makes the largest eigenvalue "
            f"{np.nanmin(factors[PRIMARY]):.2g} to {np.nanmax(factors[PRIMARY]):,.0f} times as large; its tau is then "
            f"{shown(ends['layers rescaled'][PRIMARY])}.",
            unmoved(factors),
        ),
    )


def shown(end: interval.Interval) -> str:
    """A tau and its interval."""
    return f"{end.estimate:.2f} [{end.low:.2f}, {end.high:.2f}]"


def signs(ends: Mapping[str, interval.Interval]) -> Iterator[str]:
    """Which measures rank networks as their test errors do, which the other way round, and of which it is not clear."""
    kinds = {
        "Sharper networks err more by": [what for what, end in ends.items() if end.low > 0],
        "Sharper networks err less by": [what for what, end in ends.items() if end.high < 0],
        "It is not clear by": [what for what, end in ends.items() if not (end.low > 0 or end.high < 0)],
    }
    for beginning, names in kinds.items():
        if names:
            yield f"{beginning} {', '.join(f'{name} (tau {shown(ends[name])})' for name in names)}."


def unmoved(factors: Mapping[str, Array], tolerance: float = 0.02) -> str:
    """Which measures rescaling leaves as they are, in every network."""
    same = [what for what, ratio in factors.items() if np.nanmax(np.abs(ratio - 1)) < tolerance]
    return f"It leaves {', '.join(same) or 'no measure'} within {tolerance:.0%} of what it was."
