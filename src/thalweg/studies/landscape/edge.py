"""LAN8: full-batch gradient descent ends where its rate is just stable."""

from functools import partial

import numpy as np
import torch
from torch.nn.functional import one_hot

from thalweg import curvature, spectra
from thalweg.claims import Claim, Finding, Part, every_part, within
from thalweg.data import digits
from thalweg.figures import Axis, Figure, ReferenceLine
from thalweg.nets import mlp
from thalweg.optim import SGD, Momentum, Rule, stability_limit
from thalweg.population import Problem
from thalweg.results import spread
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

BAND = within(0.95, 1.05)
UNIT = "largest eigenvalue of the Hessian / the limit of stability, over the last quarter of training"
CLAIM = Claim(
    id="LAN8",
    statement="Trained on all examples at once, the largest curvature rises to the limit of stability and stays there: "
    "2/lr for gradient descent, 2 (1 + beta)/lr with momentum.",
    lecture="Sharp and flat minima (added: Cohen et al., 2021, arXiv:2103.00065).",
    rule=every_part(),
    unit=UNIT,
    budget={"steps": 4_000},
    parts=(
        Part("gradient descent", "It stays at 2/lr with gradient descent.", BAND, UNIT),
        Part("momentum", "It stays at 2 (1 + beta)/lr with momentum.", BAND, UNIT),
    ),
)
# Half of the largest rate of 4, 2, 1, ... at which none of the seeds 900 and 901, on which nothing is scored, diverged:
# so a fresh network is curved less than the limit, and there is a way to rise.
RULES: dict[str, Rule] = {"gradient descent": SGD(1.0), "momentum": Momentum(0.5, 0.9)}
STEPS, SNAPSHOTS = {"quick": 1_200, "full": 4_000}, 24


def task(lab: Lab) -> Problem:
    """400 digits by squared error on a smooth network."""
    x, targets = digits().train.take(torch.arange(400))
    data, model = (x, one_hot(torch.as_tensor(targets), 10).float()), partial(mlp, 64, 32, 32, 10, activation="tanh")
    return Problem(model, data, "squared_error", metrics={}, device=lab.device)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The largest eigenvalue along full-batch training by either rule, in units of its limit of stability."""
    seeds, steps, problem = lab.seeds(quick=3, full=12).scored, lab.pick(**STEPS), task(lab)
    recipes = {name: Recipe(rule, steps, evaluate=0, snapshot=SNAPSHOTS) for name, rule in RULES.items()}
    runs = lab.train(problem, recipes, seeds)
    limits = {name: float(stability_limit(rule)) for name, rule in RULES.items()}
    top = partial(spectra.top_eigenvalues, k=1, tolerance=0.01, seed=lab.seed)
    tops = {
        name: [top(curvature.hessian(problem, each)) for each in run.snapshots.values()] for name, run in runs.items()
    }
    doubt = max(float(np.nanmax(np.abs(one.residuals / one.values))) for found in tops.values() for one in found)
    relative = {name: np.stack([one.values[:, 0] for one in found]) / limits[name] for name, found in tops.items()}
    at = np.array(recipes["momentum"].snapshot_steps)
    ends = {name: interval.mean(values[at > 0.75 * steps].mean(0)) for name, values in relative.items()}
    coordinates = {"rule": list(relative), "step": at, "seed": seeds}
    reading = lab.reading("largest eigenvalue / limit of stability", list(relative.values()), coordinates)
    figure = spread(
        reading,
        x="step",
        over="seed",
        title="Curvature along training",
        caption="400 digits in one batch, squared error, MLP 64-32-32-10 with tanh. Eigenvalues by Lanczos' method; "
        f"residuals are at most {doubt:.1%} of them.",
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
        ran={"steps": steps},
        numbers={
            "at the end, 95 % interval": {name: [end.low, end.high] for name, end in ends.items()},
            "before training": {name: float(values[0].mean()) for name, values in relative.items()},
            "highest": {name: float(values.max(0).mean()) for name, values in relative.items()},
        },
        figures=(
            figure,
            Figure.row(ended, title="The Hessian's eigenvalues at the end of training", caption=ended[0].caption),
        ),
        readings=reading,
        sentences=[
            f"With {name} the largest eigenvalue goes from {values[0].mean():.2f} of the limit {limits[name]:.3g} to "
            f"{values.max(0).mean():.2f} at its highest and {ends[name]} in the last quarter."
            for name, values in relative.items()
        ],
    )
