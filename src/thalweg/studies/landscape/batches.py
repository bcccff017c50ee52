"""LAN5: how sharp the minima are that small and large batches find, each batch size at its own best rate.

The loss is squared error, which has minima: cross-entropy of examples that can be told apart has none, and its
curvature falls as long as one trains, so that batch sizes would differ by how far they came. Errors are much the same
over a range of rates, and curvature is not; so each scored seed takes the rates that were best on a tuning seed of its
own, and the interval over seeds also covers the doubt about the rates.
"""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import curvature, data, nets, optim, spectra, sweep
from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.evaluation import Sample, by_example, evaluate
from thalweg.figures import Axis, Figure, interval_line
from thalweg.population import Problem
from thalweg.statistics import exponents, interval, own_choices, taken
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe, Run

Array = NDArray[np.float64]
UNIT = "slope of log largest eigenvalue against log batch size"
ARMS = ("equal epochs", "equal steps", "equal steps, one rate")
CLAIM = Claim(
    id="LAN5",
    statement="With the rate tuned for each batch size, larger batches end at a larger largest eigenvalue of the "
    "Hessian, at equal epochs and at equal steps. (512 digits by squared error, MLP 64-32-32-10, momentum.)",
    lecture="Small batches are noisy and find flat minima; large batches are smooth and find sharp ones.",
    rule=every_part(),
    unit=UNIT,
    budget={"epochs": 40, "steps": 640},
    corrected="The noise of steps grows with the rate as it falls with the batch size (Jastrzębski et al., 2017, "
    "arXiv:1711.04623), so what a batch size finds depends on the rate that goes with it; and of networks that saw "
    "unequally many examples, the sharper need not err more.",
    parts=(
        Part(ARMS[0], "At equal epochs sharpness rises with the batch size.", greater(0), UNIT),
        Part(ARMS[1], "At equal steps sharpness rises with the batch size.", greater(0), UNIT),
    ),
)
EXAMPLES, EPOCHS, STEPS = 512, 40, 640
ONE_RATE = 0.16
# The smallest and largest rate tried of each arm and batch size, each twice the one before: up to where nothing trains
# or errors are larger, and down to where few of the seeds 900 to 911, on which nothing is scored, erred least.
BY_EPOCH = {8: (0.02, 0.64), 16: (0.04, 1.28), 32: (0.08, 1.28), 64: (0.16, 2.56), 128: (0.16, 2.56), 256: (0.32, 5.12)}
BY_STEPS = {8: (0.04, 0.64)} | dict.fromkeys((16, 32, 64, 128, 256), (0.08, 1.28))
SIZES = {"quick": (32, 128), "full": tuple(BY_EPOCH)}


def recipe_of(arm: str, size: int, *, ends: bool) -> Recipe:
    """That of one batch size in one arm, over rates with or without the smallest and the largest."""
    low, high = (BY_EPOCH if arm == ARMS[0] else BY_STEPS)[size]
    rates = [low * 2**power for power in range(round(np.log2(high / low)) + 1)]
    optimizer = optim.Momentum(sweep.values(rates if ends else rates[1:-1]))
    steps = EPOCHS * EXAMPLES // size if arm == ARMS[0] else STEPS
    return Recipe(optimizer, steps, size, evaluate=0, evaluate_train_on=Sample("train", 64))


def problem_of(lab: Lab) -> Problem:
    """512 digits to train on, half of all others to tune on and the other half to test on, by squared error."""
    return Problem(
        lambda: nets.mlp(64, 32, 32, 10),
        data.one_hot(data.digits().split_anew(EXAMPLES, seed=lab.seed, stream="batches")),
        "squared_error",
        metrics={"error": lambda outputs, target: (outputs.argmax(-1) != target.argmax(-1)).float()},
        device=lab.device,
    )


def trained(lab: Lab, problem: Problem, recipe: Recipe, seeds: list[int]) -> Run:
    """Networks (rates, seeds) of one recipe."""
    return lab.train(problem, recipe, seeds, f"{recipe.steps:,} batches of {recipe.batch_size}")


def chosen(problem: Problem, run: Run, only: float | None = None) -> tuple[Tensor, Array, Array, NDArray[np.bool_]]:
    """Of networks (rates, tuning and scored seeds) those of each scored seed at the best rate of its tuning seed.

    That is where it errs least on the digits to tune on. With `only`, all are at that rate.

    Returns:
        theta, the rate, the error on the digits to test on, and whether the rate is the smallest or largest of those
        tried: (seeds, ...) each.
    """
    rates = np.unique(run.axes["lr"])
    wrong = by_example(problem, run.final, "test")["error"].numpy()
    tuned, tested = (half.mean(1).reshape(len(rates), 2, -1) for half in np.array_split(wrong, 2, axis=1))
    count = tuned.shape[2]
    one = None if only is None else np.full(count, np.isclose(rates, only).argmax())
    best = own_choices(tuned[:, 0, :, None]) if one is None else one
    theta = run.final.theta[torch.as_tensor((2 * best + 1) * count + np.arange(count))]
    return theta, rates[best], taken(tested[:, 1], best), np.isin(best, (0, len(rates) - 1))


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train every batch size in every arm at tuned rates, and fit the power of it by which sharpness goes."""
    seeds, sizes = lab.seeds(quick=3, full=16, tuning=1), SIZES[lab.scale]
    both, count = seeds.own, len(seeds)
    problem, shape = problem_of(lab), (len(ARMS), len(sizes), len(seeds))
    cells = [(arm, recipe_of(arm, size, ends=lab.scale == "full")) for arm in ARMS for size in sizes]
    runs = {recipe: trained(lab, problem, recipe, both) for recipe in dict.fromkeys(recipe for _, recipe in cells)}
    each = [chosen(problem, runs[recipe], ONE_RATE if arm == ARMS[2] else None) for arm, recipe in cells]
    theta, *numbers = zip(*each, strict=True)
    rate, error, at_ends = (np.reshape(values, shape) for values in numbers)
    networks = problem.initialize([0]).with_theta(torch.cat(theta))
    top = spectra.top_eigenvalues(curvature.hessian(problem, networks), 1, seed=lab.seed).values
    sharpness, loss = top.reshape(shape), evaluate(problem, networks, "train")["loss"].numpy().reshape(shape)
    across = {arm: interval.mean(exponents(sizes, values)) for arm, values in zip(ARMS, sharpness, strict=True)}
    typical, usual, errors = np.exp(np.log(sharpness).mean(2)), np.exp(np.log(rate).mean(2)), error.mean(2)
    panels = [
        Figure.of(
            title,
            [interval_line(sizes, [mean(at) for at in of], label=arm) for arm, of in zip(ARMS, values, strict=True)],
            Axis("batch size", scale="log"),
            axis,
        )
        for title, values, mean, axis in (
            ("Sharpness", sharpness, interval.geometric_mean, Axis("largest eigenvalue", scale="log")),
            ("Test error", 100 * error, partial(interval.mean, bounds=(0, 100)), Axis("test error", "%")),
        )
    ]
    figure = Figure.row(
        panels,
        title="What small and large batches find",
        caption=f"{EXAMPLES} digits, squared error, MLP 64-32-32-10, momentum at the best rate of each batch size, or "
        f"at {ONE_RATE:g}; {EPOCHS} epochs or {STEPS} steps. Means over {count} seeds, of eigenvalues geometric ones, "
        "with 95 % intervals.",
    )
    coordinates = {"arm": ARMS, "batch size": sizes, "seed": seeds.scored}
    tables = {"largest eigenvalue of the Hessian": sharpness, "training loss": loss, "test error": error, "rate": rate}
    return lab.finding(
        parts={arm: across[arm] for arm in ARMS[:2]},
        ran={"epochs": EPOCHS, "steps": STEPS},
        figures=figure,
        readings=[lab.reading(name, values, coordinates) for name, values in tables.items()],
        sentences=[
            f"At {arm} the largest eigenvalue goes from {middle[0]:.2f} with batches of {sizes[0]} to "
            f"{middle[-1]:.2f} with {sizes[-1]}, as the power {across[arm]} of the batch size; the rate from "
            f"{used[0]:.2f} to {used[-1]:.2f}, and the test error from {wrong[0]:.1%} to {wrong[-1]:.1%}."
            for arm, middle, used, wrong in zip(ARMS, typical, usual, errors, strict=True)
        ],
        numbers={
            "slope, 95 % interval": {arm: [end.low, end.estimate, end.high] for arm, end in across.items()},
            "share of best rates that are the smallest or largest tried": float(at_ends[:2].mean()),
            "largest eigenvalue, geometric mean": dict(zip(ARMS, typical.tolist(), strict=True)),
            "training loss": dict(zip(ARMS, loss.mean(2).tolist(), strict=True)),
        },
    )
