"""OPT4: which parameters get a small rate from Adam, in a byte-level language model."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from thalweg.claims import Claim, Finding, less
from thalweg.data import text
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, Scatter
from thalweg.nets import transformer
from thalweg.optim import Adam, StepHyperparameters, preconditioner
from thalweg.population import Batch, Layout, Problem
from thalweg.population.derivatives import gradient
from thalweg.randomness import generator
from thalweg.statistics import CORRELATION, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe, Run

CLAIM = Claim(
    id="OPT4",
    statement="In a transformer trained on the bytes of Python's documentation, Adam gives tensors with a larger mean "
    "squared gradient a smaller rate.",
    lecture="Parameters need different rates, embeddings having large and the output layer small gradients; Adam "
    "divides by the root of the variance.",
    rule=less(0, worth=-0.5),  # ranks share a quarter of their variance; with less the gradient would say little
    unit="rank correlation of effective rate and mean squared gradient over tensors",
    budget={"steps": 5},
    bounds=CORRELATION,
    corrected="Adam divides by the root of the uncentered second moment E[g^2], not the variance, and adds eps outside "
    "the root.",
)
CONTEXT, BATCH = 32, 32
NO_GRADIENT = 1e-15  # mean squares below it are rounding
LR, BETA1 = 1e-3, 0.9
RULE = Adam(LR, BETA1, 0.999, 1e-8)
STEPS = {"quick": 80, "full": 400}


def effective_rates(run: Run) -> torch.Tensor:
    """lr / (sqrt(v_hat) + eps) of every parameter: (members, parameters)."""
    h = StepHyperparameters(RULE.hyper_parameters(), run.step)
    divisor = preconditioner(RULE, run.state.slots, h)  # of the uncorrected average of gradients
    assert divisor is not None
    return LR * (1 - BETA1**run.step) / divisor


def mean_squared_gradient(problem: Problem, run: Run, batches: int, seed: int) -> torch.Tensor:
    """E[g^2] of every parameter over fresh batches: (members, parameters)."""
    stream = generator(seed, "fresh batches")
    total = torch.zeros_like(run.final.theta)
    for _ in range(batches):
        rows = torch.randint(len(problem.data.train), (1, BATCH), generator=stream)
        total += gradient(problem, run.final, Batch.of(problem.data.train, rows)) ** 2
    return total / batches


def by_tensor(layout: Layout, values: torch.Tensor, *, median: bool) -> NDArray[np.float64]:
    """The median or mean over each tensor's parameters: (members, tensors)."""
    parts = [values[:, entry.columns] for entry in layout]
    return torch.stack([part.median(1).values if median else part.mean(1) for part in parts], dim=1).double().numpy()


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The correlation over the tensors of each seed's model."""
    seeds, steps = lab.seeds(quick=5, full=10), lab.pick(**STEPS)
    data = text(context=CONTEXT).subset(test=64, seed=0)
    vocabulary = len(data.ground_truth["vocabulary"])
    problem = Problem(lambda: transformer(vocabulary, CONTEXT, 32, 2, 1), data, device=lab.device)
    recipe = Recipe(RULE, steps, BATCH, evaluate=0, evaluate_train_on=Sample("train", 64))
    run = lab.train(problem, recipe, seeds.scored, "language model")
    squared = mean_squared_gradient(problem, run, lab.pick(quick=10, full=40), lab.seed)
    squared = by_tensor(problem.layout, squared, median=False)
    # The keys' bias has no gradient at all: it adds the same to every score of a query, and softmax does not see it.
    used = squared.min(0) > NO_GRADIENT
    squared, rates = squared[:, used], by_tensor(problem.layout, effective_rates(run), median=True)[:, used]
    correlations = np.array([stats.spearmanr(*pair).statistic for pair in zip(squared, rates, strict=True)])
    entries = [entry for entry, kept in zip(problem.layout, used, strict=True) if kept]
    kinds = sorted({entry.kind for entry in entries})
    of_kind = {kind: np.array([entry.kind == kind for entry in entries]) for kind in kinds}
    each = {kind: np.median(squared[:, chosen], axis=1) for kind, chosen in of_kind.items()}
    share = interval.ratio(each["embedding"], each["output"])
    unclear = "no clear difference" if share.high >= 1 else "smaller, unlike what the lecture says"
    figure = Figure.of(
        "Adam's rate against the gradient, tensor by tensor",
        [Scatter(squared[:, rows].ravel(), rates[:, rows].ravel(), label=kind) for kind, rows in of_kind.items()],
        x=Axis("mean squared gradient on fresh batches", scale="log"),
        y=Axis("median effective rate", scale="log"),
        caption=f"Byte-level transformer, {len(entries)} tensors, {len(seeds)} seeds, after {steps} steps.",
    )
    measures, tensors = ["mean squared gradient", "median effective rate"], [entry.name for entry in entries]
    return lab.finding(
        interval.mean(correlations, bounds=CLAIM.bounds),
        figures=figure,
        ran={"steps": steps},
        readings=lab.reading(
            "gradient and rate of each tensor",
            [squared, rates],
            {"measure": measures, "seed": seeds.scored, "tensor": tensors},
        ),
        numbers={
            "median over tensors of the mean squared gradient": {
                kind: float(np.median(squared[:, rows])) for kind, rows in of_kind.items()
            },
            "embedding / output, 95 % interval": [share.low, share.high],
            "left out, having no gradient": [one.name for one in problem.layout if one.name not in tensors] or "none",
            "final training loss": float(run.history.final("train_loss").mean()),
        },
        sentences=(
            f"The rank correlation over tensors is {correlations.mean():.3f}.",
            f"The mean squared gradient of the embeddings is {share} times that of the output layer: "
            f"{'larger, as the lecture says' if share.low > 1 else unclear}.",
        ),
    )
