"""OPT3: how often the gradient at the point ahead beats plain momentum."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import results, sweep
from thalweg.optim import Momentum, Nesterov, Rule, Updater, Values
from thalweg.population import Problem
from thalweg.randomness import generator
from thalweg.results import Axis, Bars, Figure
from thalweg.studies import interval
from thalweg.studies.claim import Claim, within
from thalweg.studies.optimizers.problems import DATA, MODELS, convolutional, grid
from thalweg.studies.optimizers.record import reading
from thalweg.studies.optimizers.seeds import labelled, tuning_and_scored
from thalweg.studies.study import Context, Finding
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="OPT3",
    statement="With the gradient at the point ahead, Nesterov's momentum ends lower than plain momentum more often "
    "than not, but not always; each at its best rate.",
    lecture="Nesterov momentum takes the gradient at the predicted point; frequently, though not always, better.",
    rule=within(0.5, 0.995),  # 1 would be always; one loss in 200 is the rarest that counts as one
    unit="fraction of (problem, seed) pairs that Nesterov wins",
    corrected="The lecture looks ahead by the whole of lr m, which is 1 / beta too far and has a smaller region of "
    "stability; Nesterov's point is theta - lr beta v.",
)
RULES: dict[str, type[Rule]] = {"momentum": Momentum, "Nesterov": Nesterov}
RATES = np.logspace(-3.5, 1.5, 11)  # half decades
NOISE = 0.1
CONDITIONS = (10.0, 100.0, 1000.0)
QUICK = [("digits", "shallow"), ("MNIST-1D", "deep tanh"), ("teacher", "shallow")]


def trained(context: Context, problem: Problem, steps: int, batch: int | None, seeds: list[int], label: str) -> Array:
    """Final training loss: (rules, rates, seeds); infinite where it diverged."""
    losses = []
    for rule in RULES.values():
        recipe = Recipe(rule(lr=sweep.values(RATES.tolist())), steps, batch, evaluate=0)
        run = train(problem, recipe, seeds, watch=labelled(context, label))
        losses.append(np.nan_to_num(run.history.final("train_loss"), nan=np.inf).reshape(len(RATES), len(seeds)))
    return np.stack(losses)


def descended(condition: float, steps: int, seeds: list[int]) -> Array:
    """The same on a quadratic with gradient noise, eigenvalues log-uniform from 1/condition to 1."""
    size = 50
    streams = [generator(seed, f"quadratic {condition}") for seed in seeds]
    exponents = torch.stack([torch.rand(size, generator=stream, dtype=torch.float64) for stream in streams])
    curvature = (condition**-exponents).repeat(len(RATES), 1)
    rates = torch.as_tensor(RATES).repeat_interleave(len(seeds)).unsqueeze(1)
    noise = [torch.stack([torch.randn(size, generator=s, dtype=torch.float64) for s in streams]) for _ in range(steps)]
    losses = []
    for rule in RULES.values():
        chosen = rule(lr=1.0)
        theta = torch.ones_like(curvature)
        point = theta.clone()
        updater = Updater(chosen, theta)
        for step in range(steps):
            h = Values(chosen.hyper_parameters() | {"lr": rates, "schedule": 1.0}, step + 1)
            if chosen.looks_ahead:
                updater.look_ahead(h, out=point)
            here = point if chosen.looks_ahead else theta
            updater.step(curvature * here + NOISE * noise[step].repeat(len(RATES), 1), h)
        value = (curvature * theta**2).sum(1) / 2
        losses.append(np.nan_to_num(value.numpy(), nan=np.inf).reshape(len(RATES), len(seeds)))
    return np.stack(losses)


def tuned(losses: Array, tuning: int) -> NDArray[np.int64]:
    """The index of each rule's best rate on the tuning seeds: (rules,)."""
    with np.errstate(over="ignore"):  # what diverged may be too large to add
        return losses[:, :, :tuning].mean(2).argmin(1)


def won(losses: Array, tuning: int) -> Array:
    """1 where Nesterov ends lower than momentum, each at its best rate on the tuning seeds: (scored seeds,)."""
    momentum, nesterov = (each[pick, tuning:] for each, pick in zip(losses, tuned(losses, tuning), strict=True))
    return (nesterov < momentum) + 0.5 * (nesterov == momentum)


def by_data(wins: dict[str, Array]) -> dict[str, Array]:
    """The table of wins (models, seeds) of each data set; names are "data set, model"."""
    sources = dict.fromkeys(name.rpartition(", ")[0] for name in wins)
    return {
        source: np.stack([row for name, row in wins.items() if name.rpartition(", ")[0] == source])
        for source in sources
    }


def problems_needed(found: interval.Interval) -> int | None:
    """About how many problems would clear one half, were the estimate to stay; None where it is clear, or hopeless."""
    if not found.low <= 0.5 <= found.high or found.estimate == 0.5:
        return None
    reach = found.estimate - (found.low if found.estimate > 0.5 else found.high)
    return int(np.ceil(found.n * (reach / (found.estimate - 0.5)) ** 2))


def posed(context: Context) -> Iterator[tuple[str, Problem, int | None]]:
    """What is trained: name, problem and batch size."""
    if context.scale == "full":
        return itertools.chain(grid(context, list(DATA), list(MODELS)), convolutional(context))
    return itertools.chain.from_iterable(grid(context, [data], [model]) for data, model in QUICK)


def decide(context: Context) -> Iterator[Finding]:
    """The finding on OPT3."""
    # Seeds of one problem say little about other problems, so the full scale spends its time on many problems.
    tuning, scored = tuning_and_scored(context, context.pick(quick=2, full=2), context.pick(quick=5, full=5))
    seeds, steps = tuning + scored, context.pick(quick=100, full=400)
    losses = {f"quadratic, {k:.0f}": descended(k, 2 * steps, seeds) for k in CONDITIONS}
    for name, problem, batch in posed(context):
        losses[name] = trained(context, problem, steps, batch, seeds, f"OPT3, {name}")
    wins = {name: won(values, len(tuning)) for name, values in losses.items()}
    edges = [name for name, values in losses.items() if set(tuned(values, len(tuning))) & {0, len(RATES) - 1}]
    table = np.stack(list(wins.values()))
    fractions = {name: float(row.mean()) for name, row in wins.items()}
    found = interval.wins(table)
    needed, sources = problems_needed(found), by_data(wins)
    # Problems that share a data set may not be independent; with data sets for problems the interval is wider.
    clustered = interval.wins(np.stack([rows.mean(0) for rows in sources.values()]))
    verdict = CLAIM.judge(
        found,
        numbers={
            "fraction of seeds won": fractions,
            "data sets for problems, fraction and 95 % interval": [clustered.estimate, clustered.low, clustered.high],
            "best rate": {
                name: dict(zip(RULES, RATES[tuned(values, len(tuning))].tolist(), strict=True))
                for name, values in losses.items()
            },
            "a best rate on the edge of its grid": edges or "none",
        },
    )
    shares = [interval.wins(rows) for rows in sources.values()]
    figure = Figure(
        "How often Nesterov ends lower than plain momentum",
        (
            Bars(
                list(sources),
                np.array([share.estimate for share in shares]),
                low=np.array([share.low for share in shares]),
                high=np.array([share.high for share in shares]),
            ),
            results.Rule(0.5, "horizontal", label="as often as not"),
        ),
        x=Axis("data set"),
        y=Axis("fraction of pairs won"),
        caption=f"{found.n} problems, {len(scored)} paired seeds each, rates tuned on {len(tuning)} others; 95 % "
        "intervals over the models of a data set and the seeds.",
    )
    best, worst = max(fractions, key=fractions.__getitem__), min(fractions, key=fractions.__getitem__)
    yield Finding(
        verdict,
        figures=(figure,),
        readings=(
            reading(
                context,
                "final training loss",
                np.stack(list(losses.values()))[..., len(tuning) :],
                {"problem": list(losses), "rule": list(RULES), "rate": RATES, "seed": scored},
                notes=("Infinite where the run diverged.",),
            ),
        ),
        sentences=(
            f"Nesterov ended lower in {table.mean():.0%} of {table.size} pairs: most often on {best} "
            f"({fractions[best]:.0%}), least often on {worst} ({fractions[worst]:.0%}).",
            *(
                [f"{found.n} problems cannot tell that from half; at this fraction about {needed} would."]
                if needed
                else []
            ),
            *(f"A best rate lies on the edge of its grid on {name}: one beyond could be better." for name in edges),
        ),
    )
