"""LAN8: full-batch gradient descent ends where its rate is just stable."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from thalweg import curvature, spectra
from thalweg.claims import Claim, Finding, Part, every_part, within
from thalweg.data import digits
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, ReferenceLine
from thalweg.nets import mlp
from thalweg.optim import SGD, Momentum, Rule, stability_limit
from thalweg.population import Problem
from thalweg.results import spread
from thalweg.statistics import POSITIVE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
BAND = within(0.95, 1.10)  # at the limit or just above, as Cohen et al. found it
UNIT = "largest eigenvalue of the Hessian / the limit of stability, mean over readings at the edge while the loss falls"
CLAIM = Claim(
    id="LAN8",
    statement="Trained on all examples at once, the largest curvature rises to the limit of stability and is on "
    "average there, or just above, while the loss falls: 2/lr for gradient descent, 2 (1 + beta)/lr with momentum. "
    "(400 digits by squared error, MLP 64-32-32-10 with tanh.)",
    lecture="Sharp and flat minima (added: Cohen et al., 2021, arXiv:2103.00065).",
    rule=every_part(),
    unit=UNIT,
    budget={"steps": 2_000},
    parts=(
        Part("gradient descent", "It is at 2/lr on average with gradient descent.", BAND, UNIT, bounds=POSITIVE),
        Part("momentum", "It is at 2 (1 + beta)/lr on average with momentum.", BAND, UNIT, bounds=POSITIVE),
    ),
)
# The largest eigenvalue that gradient descent with lr 0.1, whose limit is 20, came to in 60,000 steps from the seeds
# 900 and 901, on which nothing is scored. The limit of both rules is 1.82, less than a third of the lower one and more
# than the 1.2 of fresh networks; neither diverged there, as a momentum of 0.9 did near such a limit.
REACHED = (12.0, 5.8)
RULES: dict[str, Rule] = {"gradient descent": SGD(1.1), "momentum": Momentum(1.65, 0.5)}
STEPS, EVERY = 2_000, 101  # an odd number of steps from one reading to the next: at the edge every other step is alike
FALLEN = 0.02  # of the loss before training: it is looked at until there is no more than this


def task(lab: Lab) -> Problem:
    """400 digits by squared error on a smooth network."""
    x, targets = digits().train.take(torch.arange(400))
    data, model = (x, one_hot(torch.as_tensor(targets), 10).float()), partial(mlp, 64, 32, 32, 10, activation="tanh")
    return Problem(model, data, "squared_error", metrics={}, device=lab.device)


def falling(loss: Array) -> NDArray[np.bool_]:
    """At which readings the loss is still above a share of what it was at first, and was before: (readings, seeds)."""
    return np.logical_and.accumulate(loss > FALLEN * loss[0])


def counted_of(relative: Array, loss: Array) -> NDArray[np.bool_]:
    """Which readings are at the edge while the loss falls: (readings, seeds).

    That is from the first reading at or above the limit, or from the middle of the fall where it comes later or never,
    to the last at which the loss has not yet fallen.

    Args:
        relative, loss: curvatures in units of the limit, and losses: (readings, seeds).
    """
    falls = falling(loss)
    count, place = falls.sum(0), np.arange(len(loss))[:, None]
    reached = (relative >= 1) & falls
    first = np.where(reached.any(0), reached.argmax(0), len(loss))
    return falls & (place >= np.minimum(first, count // 2))


def at_the_edge(relative: Array, loss: Array) -> Array:
    """The mean over readings at the edge while the loss falls, of curvatures in units of the limit: (seeds,).

    NaN of a seed that diverged, whose `relative` and `loss` are.
    """
    counted = counted_of(relative, loss)
    known = np.isfinite(relative).all(0) & np.isfinite(loss).all(0)
    return np.where(known, (relative * counted).sum(0) / np.maximum(counted.sum(0), 1), np.nan)


def within_band(relative: Array, loss: Array) -> float:
    """The share of readings at the edge while the loss falls, of all seeds, that lie in the band."""
    at_edge = relative[counted_of(relative, loss) & np.isfinite(relative)]
    return float(((at_edge > BAND.low) & (at_edge < BAND.high)).mean()) if len(at_edge) else np.nan


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The largest eigenvalue along full-batch training by either rule, in units of its limit of stability."""
    seeds, problem = lab.seeds(quick=4, full=12).scored, task(lab)
    at = tuple(range(0, STEPS + 1, EVERY))
    runs = lab.train(
        problem, {name: Recipe(rule, STEPS, evaluate=0, snapshot=at) for name, rule in RULES.items()}, seeds
    )
    limits = {name: float(stability_limit(rule)) for name, rule in RULES.items()}
    top = partial(spectra.top_eigenvalues, k=1, tolerance=0.01, seed=lab.seed)
    relative, losses, doubt = {}, {}, 0.0
    for name, run in runs.items():
        tops = [top(curvature.hessian(problem, each)) for each in run.snapshots.values()]
        finite = np.where(run.diverged_at < 0, 1.0, np.nan)
        relative[name] = finite * np.stack([one.values[:, 0] for one in tops]) / limits[name]
        losses[name] = finite * np.stack([evaluate(problem, each, "train")["loss"] for each in run.snapshots.values()])
        doubt = max(doubt, *(float(np.nanmax(np.abs(one.residuals / one.values))) for one in tops))
    ratios = {name: at_the_edge(relative[name], losses[name]) for name in RULES}
    ends = {name: interval.mean(values, bounds=POSITIVE) for name, values in ratios.items()}
    inside = {name: within_band(relative[name], losses[name]) for name in RULES}
    coordinates = {"rule": list(RULES), "step": at, "seed": seeds}
    reading = lab.reading("largest eigenvalue / limit of stability", list(relative.values()), coordinates)
    loss = lab.reading("training loss", list(losses.values()), coordinates)
    figure = spread(
        reading,
        x="step",
        over="seed",
        title="Curvature along training",
        caption="400 digits in one batch, squared error, MLP 64-32-32-10 with tanh. Judged from the first reading at "
        "the limit, or from the middle of the fall where it comes later or never, until the loss has fallen to "
        f"{FALLEN:.0%}. The limit is {' or '.join(dict.fromkeys(f'{limit:.3g}' for limit in limits.values()))}; on two "
        "tuning seeds gradient descent with the small rate 0.1 came to "
        f"{' and '.join(f'{value:g}' for value in REACHED)} in 60,000 steps. Eigenvalues by Lanczos' method; residuals "
        f"are at most {doubt:.1%} of them.",
        y_axis=Axis("largest eigenvalue / limit"),
    ).with_marks(ReferenceLine(1.0, "horizontal", label="limit of stability"))
    ended = []
    for name, run in runs.items():
        finite = next((member for member, step in enumerate(run.diverged_at) if step < 0), 0)
        density = spectra.density(curvature.hessian(problem, run.final[finite]), steps=60, probes=4, seed=lab.seed)
        mark = ReferenceLine(limits[name], "vertical", label="limit of stability")
        ended.append(density.figure().with_marks(mark, title=f"where {name} ended"))
    return lab.finding(
        parts=ends,
        ran={"steps": STEPS},
        numbers={
            "at the edge, 95 % interval": {name: [end.low, end.high] for name, end in ends.items()},
            f"share of readings there from {BAND.low:g} to {BAND.high:g} of the limit": inside,
            "before training": {name: float(values[0].mean()) for name, values in relative.items()},
            "highest": {name: float(values.max(0).mean()) for name, values in relative.items()},
            "last reading": {name: float(values[-1].mean()) for name, values in relative.items()},
            "loss that is left, share": {name: float((some[-1] / some[0]).mean()) for name, some in losses.items()},
        },
        figures=(
            figure,
            Figure.row(ended, title="The Hessian's eigenvalues at the end of training", caption=ended[0].caption),
        ),
        readings=(reading, loss),
        sentences=[
            f"With {name} the largest eigenvalue goes from {values[0].mean():.2f} of the limit {limits[name]:.3g} to "
            f"{values.max(0).mean():.2f} at its highest; at the edge it is {ends[name]} of it on average while the "
            f"loss falls, and {inside[name]:.0%} of these readings are from {BAND.low:g} to {BAND.high:g}."
            for name, values in relative.items()
        ],
    )
