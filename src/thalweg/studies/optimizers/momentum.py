"""OPT2: what momentum saves, on a quadratic with exact rates and on digits."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.optim import SGD, Momentum, Rule, Updater, Values
from thalweg.population import Problem
from thalweg.results import Axis, Figure, Line
from thalweg.studies import interval
from thalweg.studies.claim import Claim, greater
from thalweg.studies.optimizers.problems import digits_mlp
from thalweg.studies.optimizers.seeds import labelled, tuning_and_scored
from thalweg.studies.study import Context, Finding
from thalweg.training import Recipe, train

CLAIM = Claim(
    id="OPT2",
    statement="Momentum reaches the same training loss in fewer steps than SGD, each at its best rate.",
    lecture="Momentum accelerates SGD.",
    rule=greater(1, worth=1.05),
    unit="steps of SGD / steps of momentum",
)
CONDITION = 100.0
RATES = np.logspace(-2.5, 1, 8)  # half decades
EVERY = 5


def quadratic_losses(rule: Rule, eigenvalues: torch.Tensor, steps: int) -> NDArray[np.float64]:
    """Loss sum(h theta^2)/2 of every step from theta = 1, divided by that of the first: (steps,)."""
    theta = torch.ones(1, len(eigenvalues), dtype=torch.float64)
    updater = Updater(rule, theta)
    losses = []
    for step in range(1, steps + 1):
        losses.append(float((eigenvalues * theta**2).sum() / 2))
        updater.step(eigenvalues * theta, Values(rule.hyper_parameters() | {"schedule": 1.0}, step))
    return np.array(losses) / losses[0]


def steps_to(target: float, at: NDArray[np.int64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first step at which the loss is at most the target, between evaluations by the line of log loss.

    Args:
        at: the evaluated steps (evaluations,).
        losses: (evaluations, members).

    Returns:
        (members,), infinite where the target was never reached.
    """
    reached = losses <= target
    first = reached.argmax(0)
    members = np.arange(losses.shape[1])
    before = np.maximum(first - 1, 0)
    high, low = np.log(losses[before, members]), np.log(losses[first, members])
    part = np.where(high > low, (high - np.log(target)) / np.where(high > low, high - low, 1), 1.0)
    steps = at[before] + part * (at[first] - at[before])
    return np.where(reached.any(0), steps, np.inf)


def curves(
    context: Context, problem: Problem, rule: type[Rule], steps: int, seeds: list[int], label: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The evaluated steps, and the training loss there: (evaluations, rates, seeds); infinite once diverged."""
    recipe = Recipe(
        rule(lr=sweep.values(RATES.tolist())),
        steps,
        128,
        evaluate=tuple(range(0, steps + 1, EVERY)),
        evaluate_train_on=512,
    )
    history = train(problem, recipe, seeds, watch=labelled(context, label)).history
    losses = np.nan_to_num(history["train_loss"], nan=np.inf)
    return history.steps, losses.reshape(len(history.steps), len(RATES), len(seeds))


def decide(context: Context) -> Iterator[Finding]:
    """The finding on OPT2."""
    tuning, scored = tuning_and_scored(context, context.pick(quick=2, full=5), context.pick(quick=6, full=15))
    steps = context.pick(quick=150, full=600)
    problem = digits_mlp(context)
    losses: dict[str, NDArray[np.float64]] = {}
    at = np.arange(0)
    for name, rule in (("SGD", SGD), ("momentum", Momentum)):
        at, losses[name] = curves(context, problem, rule, steps, tuning + scored, f"OPT2, {name}")
    k = len(tuning)
    tuned = losses["SGD"][:, :, :k].mean(2)
    target = float(tuned[int(0.75 * (len(at) - 1))].min())  # what the best SGD has after three quarters of the steps
    needed, chosen = {}, {}
    for name, values in losses.items():
        times = steps_to(target, at, values.reshape(len(at), -1)).reshape(values.shape[1:])
        pick = int(np.minimum(times[:, :k], 2 * steps).mean(1).argmin())
        chosen[name] = float(RATES[pick])
        needed[name] = times[pick, k:]
        losses[name] = values[:, pick, k:]
    censored = {name: int(np.isinf(values).sum()) for name, values in needed.items()}
    capped = {name: np.minimum(values, steps) for name, values in needed.items()}
    exact = quadratic(100)
    verdict = CLAIM.judge(
        interval.ratio(capped["SGD"], capped["momentum"]),
        numbers={
            "target loss": target,
            "best rate": chosen,
            "seeds that never reached the target (counted as the last step)": censored,
            "quadratic, condition 100, steps to 1e-6 of the loss, SGD / momentum": exact["ratio"],
        },
    )
    digits = Figure(
        "Training loss at each rule's best rate",
        tuple(
            Line(
                at.astype(float),
                values.mean(1),
                low=values.min(1),
                high=values.max(1),
                label=f"{name}, lr {chosen[name]:.2g}",
            )
            for name, values in losses.items()
        ),
        x=Axis("step"),
        y=Axis("training loss", "nats", scale="log"),
        caption=f"Digits, MLP 64-32-10, batch 128, {len(scored)} seeds. The target is {target:.3g}.",
    )
    yield Finding(
        verdict,
        figures=(digits, exact["figure"]),
        sentences=(
            f"On digits SGD needed {capped['SGD'].mean():.0f} steps and momentum {capped['momentum'].mean():.0f} "
            f"to reach a training loss of {target:.3g}.",
            f"On a quadratic of condition {CONDITION:.0f}, at the optimal constants, SGD takes {exact['ratio']:.1f} "
            "times as many steps as momentum to bring the loss to a millionth.",
        ),
    )


def quadratic(steps: int) -> dict[str, Any]:
    """SGD and heavy ball at their optimal constants (Polyak, 1964) on eigenvalues from 1/CONDITION to 1."""
    eigenvalues = torch.logspace(-np.log10(CONDITION), 0, 100, dtype=torch.float64)
    small, large = float(eigenvalues[0]), float(eigenvalues[-1])
    root = CONDITION**0.5
    rules: dict[str, Rule] = {
        "SGD": SGD(2 / (large + small)),
        "momentum": Momentum(4 / (large**0.5 + small**0.5) ** 2, ((root - 1) / (root + 1)) ** 2),
    }
    rates = {"SGD": (CONDITION - 1) / (CONDITION + 1), "momentum": (root - 1) / (root + 1)}
    far = {name: quadratic_losses(rule, eigenvalues, 20 * steps) for name, rule in rules.items()}
    needed = {name: int((values <= 1e-6).argmax()) for name, values in far.items()}
    at = np.arange(steps, dtype=float)
    lines = [Line(at, values[:steps], label=name) for name, values in far.items()]
    lines += [Line(at, rate ** (2 * at), label=f"predicted slope, {name}") for name, rate in rates.items()]
    figure = Figure(
        "A quadratic of condition 100 at the optimal constants",
        tuple(lines),
        x=Axis("step"),
        y=Axis("loss / loss at the start", scale="log"),
        caption="Each mode contracts at the predicted rate; the loss falls with its square.",
    )
    return {"ratio": needed["SGD"] / needed["momentum"], "figure": figure}
