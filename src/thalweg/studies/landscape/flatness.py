"""LAN3: whether flat minima generalize better, among networks trained to the same loss; and what rescaling units does.

Networks differ by rate and batch size. Each is measured where its training loss first is at or below one level, so
that they hardly differ by it; sharpness and test error are ranked against each other within each seed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import curvature, data, nets, optim, spectra, sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Scatter, interval_bars
from thalweg.population import Population, Problem, layers_rescaled
from thalweg.randomness import generator
from thalweg.statistics import CORRELATION, Interval, interval, kendall
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN3",
    statement="Of networks (MLP 64-32-32-10) trained on 128 digits, a tenth of the labels flipped, to the same loss "
    "with different rates and batch sizes, those with a larger largest eigenvalue of the Hessian have a larger test "
    "error.",
    lecture="Sharp minima generalize poorly, flat minima well.",
    rule=greater(0),
    unit="Kendall's tau of the largest eigenvalue and the test error, over rates and batch sizes of a seed",
    budget={"networks a seed": 8},
    bounds=CORRELATION,
    corrected="Only of networks as training leaves them. Rescaling the units of a ReLU network keeps its function, so "
    "its test error too, and makes it as sharp as you like (Dinh et al., 2017, arXiv:1703.04933); measures relative to "
    "the parameters do not see it.",
)
# Set on the seeds 900 to 902, on which nothing is scored, before any sharpness was ranked: with these most networks
# come to the level soon, and test errors differ from cell to cell. The labels flipped make them differ more.
EXAMPLES, NOISE, LEVEL, EVERY = 128, 0.1, 0.1, 15
RATES, BATCHES = (0.13, 0.2, 0.3, 0.45), {"quick": (16, 64), "full": (8, 16, 32, 64)}
PRIMARY, CONTROL = "largest eigenvalue", "training loss"


def digits_of(lab: Lab) -> data.Data:
    """A few digits, some labels flipped, to train on, and all other digits, with their own labels, to test on."""
    return data.digits().split_anew(EXAMPLES, seed=lab.seed, stream="flatness").with_label_noise(NOISE, seed=lab.seed)


def measures(problem: Problem, at: Population, seed: int) -> dict[str, Array]:
    """Every sharpness of every member, by name: (members,) each.

    At worst, by radii of SAM (Foret et al., 2021, arXiv:2010.01412) and ASAM (Kwon et al., 2021, arXiv:2102.11600); on
    average by longer ones, as noise is spread over all parameters.
    """
    hessian = curvature.hessian(problem, at)
    worst = partial(curvature.worst_case_sharpness, problem, at, seed=seed)
    average = partial(curvature.average_case_sharpness, problem, at, seed=seed)
    return {
        PRIMARY: spectra.top_eigenvalues(hessian, 1, seed=seed).values[:, 0],
        "trace": spectra.trace(hessian, products=16, seed=seed)["trace"],
        "worst case": worst(radius=0.05)["sharpness"],
        "average case": average(radius=0.5)["sharpness"],
        "Keskar's": curvature.keskar_sharpness(problem, at, seed=seed)["sharpness"],
        "adaptive worst": worst(radius=0.5, adaptive=True)["sharpness"],
        "adaptive average": average(radius=3.0, adaptive=True)["sharpness"],
        "Fisher-Rao": curvature.fisher_rao_norm(problem, at)["squared norm"],
    }


def scales(seed: int, members: NDArray[np.int64]) -> torch.Tensor:
    """For both hidden layers numbers even in their logarithm from 0.1 to 10, of each member by its own stream."""
    draws = [generator(seed, "layer scales", int(member)) for member in members]
    return 10 ** (2 * torch.stack([torch.rand(2, generator=draw) for draw in draws]) - 1)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train over rates and batch sizes to one loss, rescale, and rank sharpness and test error within each seed."""
    seeds, batches, steps = lab.seeds(quick=5, full=12).scored, BATCHES[lab.scale], lab.pick(quick=660, full=1_500)
    few, kept = digits_of(lab), tuple(range(0, steps + 1, EVERY))
    problem, tested = (
        Problem(lambda: nets.mlp(64, 32, 32, 10), each, device=lab.device) for each in (replace(few, test=None), few)
    )
    recipe = Recipe(optim.SGD(sweep.values(RATES)), steps, sweep.values(batches), evaluate=kept, snapshot=kept)
    reached = lab.train(problem, recipe, seeds).at_first("train_loss", LEVEL)
    networks = {
        "as trained": reached.population,
        "layers rescaled": layers_rescaled(problem, reached.population, scales(lab.seed, reached.members)),
    }
    shape = len(batches), len(RATES), len(seeds)

    def placed(values: Array) -> Array:
        return reached.among_all(values).reshape(shape)

    error, error_after = (placed(1 - evaluate(tested, one, "test")["accuracy"].numpy()) for one in networks.values())
    each = [{CONTROL: reached.values, **measures(problem, one, lab.seed)} for one in networks.values()]
    names = list(each[0])
    sharpness = np.array([[placed(values) for values in one.values()] for one in each])
    taus = kendall(sharpness.reshape(2, len(names), -1, len(seeds)), error.reshape(-1, len(seeds)), axis=2)
    ends = {
        network: {name: interval.mean(values, bounds=CORRELATION) for name, values in zip(names, of, strict=True)}
        for network, of in zip(networks, taus, strict=True)
    }
    factors = dict(zip(names[1:], sharpness[1, 1:] / sharpness[0, 1:], strict=True))
    before, after = ends.values()
    largest, times = sharpness[:, names.index(PRIMARY)], factors[PRIMARY]
    same = [name for name, ratio in factors.items() if np.nanmax(np.abs(ratio - 1)) < 0.02]
    moved = float(np.nanmax(np.abs(error_after - error)))
    bars = [interval_bars(of, label=network) for network, of in ends.items()]
    dots = [Scatter(of.ravel(), 100 * error.ravel(), label=name) for name, of in zip(networks, largest, strict=True)]
    eigenvalue, percent = Axis("largest eigenvalue of the Hessian", scale="log"), Axis("test error", "%")
    figure = Figure.row(
        (
            Figure.of("Rank correlation with the test error", bars, y=Axis("Kendall's tau", limits=(-1, 1))),
            Figure.of("Every network twice", dots, eigenvalue, percent),
        ),
        title="Sharpness and test error at equal training loss",
        caption=f"{len(reached.members)} networks MLP 64-32-32-10, {len(RATES)} rates x {len(batches)} batch sizes x "
        f"{len(seeds)} seeds, each where it first came to a training loss of {LEVEL}. Bars are means over seeds with "
        "95 % intervals; the training loss itself is the control.",
    )
    cells = {"batch size": batches, "rate": RATES, "seed": seeds}
    which = {"networks": list(networks), "measure": names}
    return lab.finding(
        before[PRIMARY],
        figures=figure,
        ran={"networks a seed": len(batches) * len(RATES)},
        readings=(
            lab.reading("Kendall's tau", taus, {**which, "seed": seeds}),
            lab.reading("sharpness", sharpness, {**which, **cells}),
            lab.reading("test error", error, cells),
        ),
        sentences=(
            f"{len(reached.members)} of {reached.count} networks came to a training loss of {LEVEL}; their test errors "
            f"go from {np.nanmin(error):.1%} to {np.nanmax(error):.1%}.",
            *signs({name: before[name] for name in factors}),
            f"The training loss itself, which differs by what one snapshot makes, has tau {before[CONTROL]:.2f}.",
            f"Rescaling layers, which changes no test error by more than {moved:.2%}, makes the largest eigenvalue "
            f"{np.nanmin(times):.2g} to {np.nanmax(times):,.0f} times as large; its tau is then {after[PRIMARY]:.2f}.",
            f"It leaves {', '.join(same) or 'no measure'} within 2% of what it was.",
        ),
        numbers={
            "Kendall's tau": {network: {name: str(end) for name, end in of.items()} for network, of in ends.items()},
            # One of the two differs, the other being held (Jiang et al., 2020, arXiv:1912.02178).
            "tau of the largest eigenvalue over rates": float(np.nanmean(kendall(largest[0], error, axis=1))),
            "tau of the largest eigenvalue over batch sizes": float(np.nanmean(kendall(largest[0], error, axis=0))),
            "times as sharp with layers rescaled": {
                name: float(np.exp(np.nanmean(np.log(values)))) for name, values in factors.items()
            },
        },
    )


def signs(ends: Mapping[str, Interval]) -> Iterator[str]:
    """Which measures rank networks as their test errors do, which the other way round, and of which it is not clear."""
    words = {1: "Sharper networks err more by", -1: "Sharper networks err less by", 0: "It is not clear by"}
    for sign, beginning in words.items():
        named = [f"{name} (tau {end:.2f})" for name, end in ends.items() if (end.low > 0) - (end.high < 0) == sign]
        if named:
            yield f"{beginning} {', '.join(named)}."
