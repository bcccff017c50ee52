"""NTK11: the kernel of fully connected nets on a table of addition modulo p, and nets that are trained on the same one.

With one-hot pairs such a kernel knows of two cells alone whether they share a row, a column, or both. What it predicts
of a class is a sum g(a) + h(b), the additive part of the table, which of a group is nothing; and in the row of a cell
that is held out its own class is the one that was not seen there, so that it has the lowest score of all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.data import Examples
from thalweg.evaluation import outputs
from thalweg.figures import Axis, Figure, HeatMap
from thalweg.statistics import SHARE, Interval, interval
from thalweg.studies.grokking import solvable
from thalweg.studies.grokking.setting import LARGE, Trained, trained
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.tables import Best, P, Split, best, explained, of_frequencies, of_nets, pooled
from thalweg.studies.study import decides

assert LARGE.p == P
NETS, MOST = 6, 0.9
SHARES, POINTS = "share of held-out cells", "percentage points of held-out cells"
NOT_TRAINED = Interval.missing("no nets are trained at quick scale")
CLAIM = Claim(
    id="NTK11",
    statement=f"Addition modulo {P}, half of the table: of kernel regression by NNGP and NTK of ReLU nets on one-hot "
    "pairs, depth 1 to 3, the best, chosen on the held-out half itself, is right on no more of it than chance; trained "
    "nets are right on more than 95 % and lead by more than 50 points.",
    lecture="The tangent kernel can't explain all phenomena, such as grokking.",
    rule=every_part(),
    unit=SHARES,
    budget={"trained nets": NETS},
    corrected="That a kernel is fixed does not keep it from generalizing late: linear regression does. What the kernel "
    "of a fully connected net on one-hot pairs cannot do is the task, at any time, while another kernel can.",
    parts=(
        Part("kernel", "The best kernel is at or below chance.", less(1 / P), SHARES, bounds=SHARE),
        Part("net", "Trained nets are right on more than 95 %.", greater(0.95), SHARES, bounds=SHARE),
        Part("lead", "They lead by more than 50 points.", greater(0, worth=50), POINTS),
    ),
)


@dataclass(frozen=True, eq=False)
class Tables:
    """What is right on the test cells of every seed.

    Args:
        splits: of the table, one a seed.
        kernels: the best kernel of every seed.
        nets: of the seed's trained net, (seeds,) of (k,); none where none was trained.
        most: a split that trains on most of the table, and the best kernel there; none at quick scale.
        sums: the share of the variance of a + b, as a whole number, that an NTK explains on the first of them.
        frequencies: what a kernel of Fourier features is right on there.
    """

    splits: list[Split]
    kernels: list[Best]
    nets: list[NDArray[np.bool_]]
    most: tuple[Split, Best] | None
    sums: float
    frequencies: Best


def right(runs: Trained) -> list[NDArray[np.bool_]]:
    """Whether every seed's net is right on its own held-out cells, in their order."""
    found = []
    for seed, problem in enumerate(runs.problems):
        test = problem.data.test
        assert isinstance(test, Examples)
        assert isinstance(test.targets, Tensor)
        answers = outputs(problem, runs.run.final[seed : seed + 1], "test")[0].argmax(-1)
        found.append((answers == test.targets).cpu().numpy())
    return found


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Fit kernels to half of the table, and train nets on the same half."""
    seeds = lab.seeds(quick=1, full=NETS).scored  # those of GRK1, whose splits and nets these are
    kernels, full = of_nets(lab.pick(quick=(1,), full=(1, 2, 3))), lab.scale == "full"
    ntk = {name: one for name, one in kernels.items() if name == "NTK, depth 1"}
    splits, most = [Split.of(seed, LARGE.fraction) for seed in seeds], Split.of(seeds[0], MOST)
    found = Tables(
        splits,
        [best(kernels, split) for split in splits],
        right(trained(lab, LARGE, seeds)) if full else [],
        (most, best(ntk, most)) if full else None,
        explained(ntk, splits[0]),
        best(of_frequencies(), splits[0]),
    )
    return judged(lab, found, seeds)


def image(title: str, split: Split, right: NDArray[np.bool_], p: int = P) -> Figure:
    """The table a x b: 1 where a held-out cell is right, 0 where wrong, a gap where it was trained on."""
    cells = np.full(p * p, np.nan)
    cells[split.test.numpy()] = right
    at = np.arange(p)
    return Figure.of(
        title, [HeatMap(at, at, cells.reshape(p, p), label="right")], Axis("b"), Axis("a"), Axis("right", limits=(0, 1))
    )


def judged(lab: Lab, found: Tables, seeds: list[int]) -> Finding:
    """Shares over all test cells, and differences paired by seed."""
    kernel = [one.right for one in found.kernels]
    shares = np.array([one.mean() for one in kernel])
    nets = np.array([one.mean() for one in found.nets])
    parts = {
        "kernel": pooled(kernel),
        "net": pooled(found.nets) if len(nets) else NOT_TRAINED,
        "lead": interval.mean(100 * (nets - shares)) if len(nets) else NOT_TRAINED,
    }
    split, most = found.splits[0], found.most
    panels = [image(f"Best kernel: {shares[0]:.1%}", split, kernel[0])]
    panels += [image(f"Trained net: {nets[0]:.1%}", split, found.nets[0])] if len(nets) else []
    if most is not None:
        panels.append(image(f"NTK, {MOST:.0%} trained on: {most[1].right.mean():.1%}", most[0], most[1].right))
    figure = Figure.row(
        panels,
        title="A table of addition, as a kernel and a net complete it",
        caption=f"a + b mod {P}. Cells that were trained on are gaps; others are right (1) or wrong (0). The kernel "
        f"is the best of {found.kernels[0].tried} on these very cells. Chance is {1 / P:.1%}.",
    )
    values = np.stack([shares, nets]) if len(nets) else shares[None]
    reading = lab.reading(
        "held-out cells that are right",
        values,
        {"of": ["best kernel", "trained net"][: len(values)], "seed": seeds},
    )
    return lab.finding(
        parts=parts,
        ran={"trained nets": len(nets)},
        figures=[figure, solvable.figure(lab.seed)],
        readings=reading,
        sentences=[
            f"The best of {found.kernels[0].tried} kernels and ridges, chosen on the held-out half, is right on "
            f"{parts['kernel'].estimate:.2%} of {parts['kernel'].n:,} cells, or at most {parts['kernel'].high:.2%}; "
            f"chance is {1 / P:.2%}.",
            *([] if most is None else [f"Where {MOST:.0%} are trained on, an NTK is right on {share(most[1])}."]),
            *([f"Trained nets are right on {nets.mean():.2%}, the worst on {nets.min():.2%}."] if len(nets) else []),
            f"It is the task, not the fit: an NTK explains {found.sums:.2%} of the variance of a + b as a whole "
            f"number, and a kernel of Fourier features of the pair is right on {share(found.frequencies)} modulo {P}.",
        ],
        numbers={
            "best kernel": [one.name for one in found.kernels],
            "share of the variance of a + b that an NTK explains": found.sums,
            "right by Fourier features": float(found.frequencies.right.mean()),
        }
        | ({} if most is None else {f"right where {MOST:.0%} are trained on": float(most[1].right.mean())}),
    )


def share(one: Best) -> str:
    """Of how many cells it is right."""
    return f"{one.right.mean():.2%} of {len(one.right):,} cells"
