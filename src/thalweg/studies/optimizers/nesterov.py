"""OPT3: how often the gradient at the point ahead beats plain momentum."""

import itertools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, within
from thalweg.figures import Axis, Bars, Figure, ReferenceLine
from thalweg.optim import Momentum, Nesterov, Rule, follow
from thalweg.randomness import generator
from thalweg.statistics import SHARE, interval, own_choices, taken
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.tasks import MODELS, TASKS, Posed, convolutional, grid
from thalweg.studies.study import decides
from thalweg.training import Recipe, infinite_if_diverged
from thalweg.tuning import edge_warnings

Array = NDArray[np.float64]
CLAIM = Claim(
    id="OPT3",
    statement="Over small images, signals, tables, text, known functions and quadratics, Nesterov's momentum, with the "
    "gradient at the point ahead, ends lower than plain momentum more often than not, but not always; each at its best "
    "rate.",
    lecture="Nesterov momentum takes the gradient at the predicted point; frequently, though not always, better.",
    rule=within(0.5, 0.995),  # 1 would be always; one loss in 200 is the rarest that counts as one
    unit="fraction of (problem, seed) pairs that Nesterov wins, each source of data weighing the same",
    # So many sources, lest a verdict be about the few that were picked; at as few steps it is there already.
    budget={"steps": 40, "sources of data": 10},
    bounds=SHARE,
    repeats="sources of data",
    corrected="The lecture looks ahead by the whole of lr m, which is 1 / beta too far and has a smaller region of "
    "stability; Nesterov's point is theta - lr beta v.",
)
RULES: dict[str, Callable[..., Rule]] = {"momentum": Momentum, "Nesterov": Nesterov}
RATES = np.logspace(-3.5, 1.5, 11)  # half decades
NOISE = 0.1
CONDITIONS = (10.0, 100.0, 1000.0)
QUICK = [("digits", "shallow"), ("MNIST-1D", "deep tanh"), ("teacher", "shallow")]
EVERY = [(task, model) for task in TASKS for model in MODELS]
STEPS = {"quick": 100, "full": 400}


def trained(lab: Lab, posed: Posed, steps: int, seeds: list[int]) -> Array:
    """Final training loss: (rules, rates, seeds); infinite where it diverged."""
    rates = sweep.values(RATES.tolist())
    recipes = {name: Recipe(rule(lr=rates), steps, posed.batch, evaluate=0) for name, rule in RULES.items()}
    runs = lab.train(posed.problem, recipes, seeds, posed.name)
    losses = np.stack([run.history.final("train_loss") for run in runs.values()])
    return infinite_if_diverged(losses).reshape(len(RULES), len(RATES), len(seeds))


def descended(condition: float, steps: int, seeds: list[int]) -> Array:
    """The same on a quadratic with gradient noise, eigenvalues log-uniform from 1/condition to 1."""
    size, dtype = 50, torch.float64
    streams = [generator(seed, f"quadratic {condition}") for seed in seeds]
    exponents = torch.stack([torch.rand(size, generator=stream, dtype=dtype) for stream in streams])
    curvature = (condition**-exponents).repeat(len(RATES), 1)
    rates = torch.as_tensor(RATES).repeat_interleave(len(seeds)).unsqueeze(1)
    noise = [torch.stack([torch.randn(size, generator=s, dtype=dtype) for s in streams]) for _ in range(steps)]

    def loss(rule: Rule) -> torch.Tensor:
        drawn = iter(noise)  # the same for both
        gradient = lambda point: curvature * point + NOISE * next(drawn).repeat(len(RATES), 1)  # noqa: E731
        theta = follow(rule, gradient, torch.ones_like(curvature), steps, numbers={"lr": rates})[-1]
        return (curvature * theta**2).sum(1) / 2

    losses = torch.stack([loss(rule(lr=1.0)) for rule in RULES.values()])
    return infinite_if_diverged(losses.numpy()).reshape(len(RULES), len(RATES), len(seeds))


def best_rates(tuned: Array) -> NDArray[np.int64]:
    """The index of each rule's best rate for every scored seed, on its own tuning seeds: (rules, seeds).

    Args:
        tuned: final losses (rules, rates, seeds, tuning seeds of each).
    """
    return np.stack([own_choices(of_rule) for of_rule in tuned])


def won(tuned: Array, scored: Array) -> Array:
    """1 where Nesterov ends lower than momentum, each at its best rate on the seed's own tuning seeds: (seeds,).

    Args:
        tuned: see `best_rates`.
        scored: final losses (rules, rates, seeds).
    """
    momentum, nesterov = (taken(*each) for each in zip(scored, best_rates(tuned), strict=True))
    return (nesterov < momentum) + 0.5 * (nesterov == momentum)


def by_source(fractions: dict[str, float], sources: dict[str, str]) -> dict[str, list[float]]:
    """The fractions of the problems that each source of data gave; both arguments by problem."""
    return {source: [fractions[name] for name in sources if sources[name] == source] for source in sources.values()}


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Both rules at every rate on every problem.

    Seeds and models of one source say little about other data, so the full scale spends its time on many sources, and a
    source is one unit: its examples are all of one kind, whatever is trained on them.
    """
    seeds, steps = lab.seeds(quick=4, full=4, tuning=1), lab.pick(**STEPS)
    losses = {f"quadratic, {k:.0f}": descended(k, 2 * steps, seeds.own) for k in CONDITIONS}
    sources = dict.fromkeys(losses, "quadratic")
    for one in grid(lab, QUICK) if lab.scale == "quick" else itertools.chain(grid(lab, EVERY), convolutional(lab)):
        losses[one.name], sources[one.name] = trained(lab, one, steps, seeds.own), one.source
    apart = {name: seeds.apart(values) for name, values in losses.items()}
    fractions = {name: float(won(*both).mean()) for name, both in apart.items()}
    picks = {name: best_rates(to_tune) for name, (to_tune, _) in apart.items()}
    edges = {name: float(np.isin(pick, (0, len(RATES) - 1)).mean()) for name, pick in picks.items()}
    best = {rule: RATES[np.concatenate([pick[i] for pick in picks.values()])] for i, rule in enumerate(RULES)}
    grouped = by_source(fractions, sources)
    shares = {source: float(np.mean(each)) for source, each in grouped.items()}
    found = interval.fraction(list(shares.values()))
    order = sorted(shares, key=shares.__getitem__, reverse=True)
    share, low, high = (np.array([ends(grouped[source]) for source in order]) for ends in (np.mean, min, max))
    figure = Figure.of(
        "How often Nesterov ends lower than plain momentum",
        (Bars(order, share, low=low, high=high), ReferenceLine(0.5, "horizontal", label="as often as not")),
        x=Axis("source of the data"),
        y=Axis("fraction of pairs won"),
        caption=f"{len(fractions)} problems from {found.n} sources, {len(seeds)} paired seeds each, rates tuned for "
        "each seed on one of its own. Lines run from a source's least won problem to its most won.",
    )
    most, least = max(fractions, key=fractions.__getitem__), min(fractions, key=fractions.__getitem__)
    return lab.finding(
        found,
        figures=figure,
        ran={"steps": steps, "sources of data": len(shares)},
        readings=lab.reading(
            "final training loss",
            np.stack([scored for _, scored in apart.values()]),
            {"problem": list(losses), "rule": list(RULES), "rate": RATES, "seed": seeds.scored},
            notes=("Infinite where the run diverged.",),
        ),
        numbers={
            "fraction won by source": shares,
            "fraction won by problem": fractions,
            "best rate of each seed": {
                name: dict(zip(RULES, RATES[pick].tolist(), strict=True)) for name, pick in picks.items()
            },
            "share of best rates on the edge of the grid": edges,
        },
        sentences=(
            f"Nesterov ended lower in {found.estimate:.0%} of pairs, each of {found.n} sources of data weighing the "
            f"same: most often on {most} ({fractions[most]:.0%}), least often on {least} ({fractions[least]:.0%}).",
            *edge_warnings(best, RATES, units="pairs of a problem and a seed"),
        ),
    )
