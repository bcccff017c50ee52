"""OPT4: which parameters get a small rate from Adam, in a byte-level language model."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from thalweg.claims import Claim, Finding, less
from thalweg.data import text
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, Scatter
from thalweg.nets import transformer
from thalweg.optim import Adam
from thalweg.population import Batch, Layout, Problem
from thalweg.population.derivatives import gradient
from thalweg.randomness import generator
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, Run, train

CLAIM = Claim(
    id="OPT4",
    statement="In a language model Adam gives tensors with a larger mean squared gradient a smaller rate.",
    lecture="Parameters need different rates, embeddings having large and the output layer small gradients; Adam "
    "divides by the root of the variance.",
    rule=less(0, worth=-0.5),
    unit="rank correlation of effective rate and mean squared gradient over tensors",
    corrected="Adam divides by the root of the uncentred second moment E[g^2], not the variance, and adds eps outside "
    "the root.",
)
CONTEXT, BATCH = 32, 32
NO_GRADIENT = 1e-15  # mean squares below it are rounding
LR, BETA2, EPS = 1e-3, 0.999, 1e-8


def effective_rates(run: Run) -> torch.Tensor:
    """lr / (sqrt(v_hat) + eps) of every parameter: (members, parameters)."""
    v_hat = run.state.slots["second_moment"] / (1 - BETA2**run.step)
    return LR / (v_hat.sqrt() + EPS)


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


def compared(share: interval.Interval) -> str:
    """What an interval on the ratio of embeddings to output says about the lecture's ordering."""
    if share.low > 1:
        return "larger, as the lecture says"
    return "smaller, unlike what the lecture says" if share.high < 1 else "no clear difference"


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on OPT4."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=5, full=10))
    steps, batches = lab.pick(quick=80, full=400), lab.pick(quick=10, full=40)
    data = text(context=CONTEXT)
    data = data.subset(test=64, seed=0)
    vocabulary = len(data.ground_truth["vocabulary"])
    problem = Problem(lambda: transformer(vocabulary, CONTEXT, 32, 2, 1), data, device=lab.device)
    recipe = Recipe(Adam(LR, beta2=BETA2, eps=EPS), steps, BATCH, evaluate=0, evaluate_train_on=Sample("train", 64))
    run = train(problem, recipe, seeds, progress=labelled(lab, "OPT4, language model"))
    layout = problem.layout
    squared = by_tensor(layout, mean_squared_gradient(problem, run, batches, lab.seed), median=False)
    # The keys' bias has no gradient at all: it adds the same to every score of a query, and softmax does not see it.
    used = squared.min(0) > NO_GRADIENT
    squared, rates = squared[:, used], by_tensor(layout, effective_rates(run), median=True)[:, used]
    entries = [entry for entry, kept in zip(layout, used, strict=True) if kept]
    correlations = np.array([stats.spearmanr(*pair).statistic for pair in zip(squared, rates, strict=True)])
    kinds = sorted({entry.kind for entry in entries})
    of_kind = {kind: np.array([entry.kind == kind for entry in entries]) for kind in kinds}
    typical = {kind: float(np.median(squared[:, chosen])) for kind, chosen in of_kind.items()}
    each = {kind: np.median(squared[:, chosen], axis=1) for kind, chosen in of_kind.items()}
    share = interval.ratio(each["embedding"], each["output"])
    verdict = CLAIM.judge(
        interval.mean(correlations),
        numbers={
            "median over tensors of the mean squared gradient": typical,
            "embedding / output, 95 % interval": [share.low, share.high],
            "left out, having no gradient": [entry.name for entry in layout if entry not in entries] or "none",
            "final training loss": final_loss(run),
        },
    )
    figure = Figure.of(
        "Adam's rate against the gradient, tensor by tensor",
        tuple(
            Scatter(squared[:, chosen].ravel(), rates[:, chosen].ravel(), label=kind)
            for kind, chosen in of_kind.items()
        ),
        x=Axis("mean squared gradient on fresh batches", scale="log"),
        y=Axis("median effective rate", scale="log"),
        caption=f"Byte-level transformer, {len(entries)} tensors, {len(seeds)} seeds, after {steps} steps.",
    )
    yield Finding(
        verdict,
        figures=(figure,),
        readings=(
            reading(
                lab,
                "gradient and rate of each tensor",
                np.stack([squared, rates]),
                {
                    "measure": ["mean squared gradient", "median effective rate"],
                    "seed": seeds,
                    "tensor": [entry.name for entry in entries],
                },
            ),
        ),
        sentences=(
            f"The rank correlation over tensors is {correlations.mean():.3f}.",
            f"The mean squared gradient of the embeddings is {share} times that of the output layer: "
            f"{compared(share)}.",
        ),
    )


def final_loss(run: Run) -> float:
    """Mean over members of the last training loss."""
    return float(run.history.final("train_loss").mean())
