"""OPT3: how often the gradient at the point ahead beats plain momentum."""

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
from thalweg.studies.optimizers.problems import digits_convnet, digits_mlp, mnist1d_mlp, modular_mlp, teacher_mlp
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
RATES = np.logspace(-3, 0, 7)  # half decades
NOISE = 0.1


def trained(context: Context, problem: Problem, steps: int, batch: int, seeds: list[int], label: str) -> Array:
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


def won(losses: NDArray[np.float64], tuning: int) -> Array:
    """1 where Nesterov ends lower than momentum, each at its best rate on the tuning seeds: (scored seeds,)."""
    momentum, nesterov = (each[each[:, :tuning].mean(1).argmin(), tuning:] for each in losses)
    return (nesterov < momentum) + 0.5 * (nesterov == momentum)


def decide(context: Context) -> Iterator[Finding]:
    """The finding on OPT3."""
    tuning, scored = tuning_and_scored(context, context.pick(quick=2, full=5), context.pick(quick=5, full=15))
    seeds, steps = tuning + scored, context.pick(quick=100, full=400)
    problems = {"digits MLP": (digits_mlp, 128), "MNIST-1D MLP": (mnist1d_mlp, 128), "teacher": (teacher_mlp, 128)}
    if context.scale == "full":
        problems |= {
            "digits MLP, batch 512": (digits_mlp, 512),
            "modular addition": (modular_mlp, 128),
            "digits convnet": (digits_convnet, 64),
        }
    wins = {f"quadratic, {k:.0f}": won(descended(k, 2 * steps, seeds), len(tuning)) for k in (10.0, 100.0, 1000.0)}
    for name, (make, batch) in problems.items():
        wins[name] = won(trained(context, make(context), steps, batch, seeds, f"OPT3, {name}"), len(tuning))
    table = np.stack(list(wins.values()))
    fractions = {name: float(row.mean()) for name, row in wins.items()}
    verdict = CLAIM.judge(interval.wins(table), numbers={"fraction of seeds won": fractions})
    shares = [interval.proportion(int(np.floor(row.sum())), len(row)) for row in wins.values()]
    figure = Figure(
        "How often Nesterov ends lower than plain momentum",
        (
            Bars(
                list(wins),
                table.mean(1),
                low=np.array([each.low for each in shares]),
                high=np.array([each.high for each in shares]),
            ),
            results.Rule(0.5, "horizontal", label="as often as not"),
        ),
        x=Axis("problem"),
        y=Axis("fraction of seeds won"),
        caption=f"{len(scored)} paired seeds each, rates tuned on {len(tuning)} others; 95 % intervals over seeds.",
    )
    best, worst = max(fractions, key=fractions.__getitem__), min(fractions, key=fractions.__getitem__)
    yield Finding(
        verdict,
        figures=(figure,),
        sentences=(
            f"Nesterov ended lower in {table.mean():.0%} of {table.size} pairs: most often on {best} "
            f"({fractions[best]:.0%}), least often on {worst} ({fractions[worst]:.0%}).",
        ),
    )
