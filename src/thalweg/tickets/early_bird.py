"""When in training a mask emerges: masks of snapshots compared, beyond what chance makes equal."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Figure, HeatMap, Line
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.tickets.allocation import Allocation, ByLayer, Counts
from thalweg.tickets.division import Division, Share
from thalweg.tickets.policy import Policy
from thalweg.tickets.scoring import Score, as_score, by_magnitude
from thalweg.tickets.selection import Parts, select_parts
from thalweg.training import Run

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EarlyBird(Result):
    """What `early_bird` found.

    Args:
        reading: "overlap" (seed, step, other step), corrected for chance: 1 of equal masks, 0 of random ones;
            "distance" (seed, step, other step), the share of parts in which masks differ, as it is;
            "overlap by layer" (seed, layer, step) with the last mask; "emerged" (seed), the step, NaN where it did not;
            "chance distance" (), that of two random masks.
    """

    def figure(self) -> Figure:
        """The overlap of the masks of every two steps, the mean over seeds."""
        steps = self.reading.coordinate("step").astype(np.float64)
        table = self["overlap"].mean(0)
        axes = Axis("step of a mask"), Axis("step of the other"), Axis("overlap beyond chance", limits=(-0.1, 1))
        return Figure.of("When the mask emerges", (HeatMap(steps, steps, table),), *axes, caption=self._caption)

    def traces(self) -> Figure:
        """The overlap of every layer's mask with its last one, over the steps; means over seeds."""
        steps = self.reading.coordinate("step").astype(np.float64)
        means = self["overlap by layer"].mean(0)
        lines = [Line(steps, one, label=str(name)) for name, one in zip(self._layers, means, strict=True)]
        y = Axis("overlap beyond chance")
        return Figure.of("Layer by layer", lines, Axis("step"), y, caption=self._caption)

    @property
    def _layers(self) -> NDArray[np.str_]:
        return self.reading.coordinate("layer")

    @property
    def _caption(self) -> str:
        return " ".join(self.reading.notes)


@guarded
def early_bird(
    problem: Problem,
    run: Run,
    share: Share | None = 0.5,
    *,
    score: Score = by_magnitude,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    threshold: float = 0.2,
    window: int = 4,
) -> EarlyBird:
    """From which step on the masks of a run's snapshots hardly change any more.

        overlap of A and B = sum over layers of (|A and B| - k^2 / n) / sum over layers of (k - k^2 / n)

    k of a layer's n parts are kept, so k^2 / n is what two random masks have in common; where layers compete (`Global`)
    it is k_A k_B / n, with what each mask keeps of the layer, so that equal shares of layers are no overlap. The mask
    has emerged at the first snapshot whose overlap with each of the `window` snapshots before is at least
    1 - threshold. The criterion of the paper, a share of at most 0.1 of parts that differ, is 2 p (1 - p) for random
    masks at sparsity p: at half of the channels it is a threshold of 0.2 here, and above p = 0.947 any two random masks
    meet it; the distance as it is stands beside.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=40, batch_size=50, evaluate=1, snapshot=10)
    >>> found = tw.tickets.early_bird(problem, tw.train(problem, recipe, seeds=2), 0.2)
    >>> found["overlap"].shape, float(found["overlap"][0, 3, 3]), found["overlap by layer"].shape
    ((2, 11, 11), 1.0, (2, 2, 11))

    Args:
        problem: what was trained.
        run: with snapshots, more than `window` of them.
        share: of the parts that a mask keeps.
        score: any of `tickets.scores` as it is, such as `scores.gamma`, or a function of (snapshot, first snapshot).
        allocation: which parts; None: `ByLayer`. `Units()` is the paper's, with the score `gamma`.
        policy: what may be pruned.
        threshold: how far from 1 an overlap may be.
        window: how many snapshots before are compared.

    Raises:
        UsageError: too few snapshots, a share that leaves nothing to chance, or a member that diverged.

    Cost: a sort of the scores a snapshot.

    Source: You et al., 2020, arXiv:1909.11957.
    """
    began = time.perf_counter()
    check_type("early_bird run", run, Run, "a Run with snapshots")
    check_count("early_bird window", window)
    snapshots = dict(run.snapshots) | {run.step: run.final}
    steps = sorted(snapshots)
    if len(steps) <= window:
        msg = f"early_bird compares {window + 1} snapshots at least, and has {len(steps)}; train with snapshot=20."
        raise UsageError(msg)
    allocation, policy = allocation or ByLayer(), policy or Policy()
    division, score = allocation.division(problem, policy), as_score(problem, score)
    kept = allocation.kept(division, share)
    if bool((kept == division.sizes).all()):
        msg = "early_bird needs a share below 1: masks that keep everything are all equal."
        raise UsageError(msg)
    first = snapshots[steps[0]]
    masks = [select_parts(score(snapshots[step], first), division, kept) for step in steps]
    overlap = np.stack([[corrected_overlap(a, b, division, kept) for b in masks] for a in masks], axis=-1)
    distance = np.stack([[(a ^ b).double().mean(1).numpy() for b in masks] for a in masks], axis=-1)
    overlap, distance = (table.transpose(1, 2, 0) for table in (overlap, distance))
    layers = list(dict.fromkeys(division.names))
    by_layer = np.stack(
        [[corrected_overlap(one, masks[-1], division, kept, layer) for one in masks] for layer in layers]
    )
    p = 1 - float(kept.sum()) / len(division.pool)
    seeds = run.axes["seed"] if len(run.axes) == 1 else np.arange(len(run.final))
    emerged = _emerged(overlap, np.array(steps, dtype=np.float64), threshold, window)
    reading = Reading(
        "emergence of masks",
        {
            "overlap": overlap,
            "distance": distance,
            "overlap by layer": by_layer.transpose(2, 0, 1),
            "emerged": emerged,
            "chance distance": 2 * p * (1 - p),
        },
        {
            "overlap": ("seed", "step", "other step"),
            "distance": ("seed", "step", "other step"),
            "overlap by layer": ("seed", "layer", "step"),
            "emerged": ("seed",),
        },
        {"seed": seeds, "step": steps, "other step": steps, "layer": layers},
        {"emerged": "steps"},
        sample_size=len(run.final),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(seeds.tolist(), str(problem.device), str(problem.dtype)),
        notes=(
            f"Masks that keep {1 - p:.1%}; emerged where the overlap with {window} snapshots before is at least "
            f"{1 - threshold:g}. Two random masks differ in {2 * p * (1 - p):.3g} of the parts.",
        ),
    )
    return EarlyBird(reading)


@in_words
def corrected_overlap(first: Parts, second: Parts, division: Division, kept: Counts, layer: str | None = None) -> Array:
    """What two masks have in common beyond chance, of 1: (members,); see `early_bird`.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(4, 2), (torch.zeros(4, 4), torch.arange(4) % 2))
    >>> division = tw.tickets.ByLayer().division(problem, tw.tickets.Policy())
    >>> a, b = (torch.tensor([row], dtype=torch.bool) for row in ([1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0]))
    >>> tw.tickets.corrected_overlap(a, b, division, torch.tensor([4])).tolist()  # (3 - 2) / (4 - 2)
    [0.5]

    Args:
        first, second: which parts are kept: (members, parts) each.
        division: whose parts.
        kept: of every pool: (pools,).
        layer: the pools of that name alone.

    Returns:
        NaN where everything is kept.
    """
    if layer is None and division.loose and len(division.names) < len(division.entries):
        return _within_tensors(first, second, division)
    chosen = torch.tensor([layer is None or name == layer for name in division.names])
    chance = torch.where(chosen, kept.double().square() / division.sizes, 0).sum()
    common = (first & second & chosen[division.pool]).double().sum(1)
    most = torch.where(chosen, kept, 0).double().sum()
    return ((common - chance) / (most - chance)).numpy()


def _within_tensors(first: Parts, second: Parts, division: Division) -> Array:
    """The same where tensors compete: what two random masks with as many weights in every tensor have in common."""
    tensor_of = torch.zeros(division.parameters, dtype=torch.long)
    for number, entry in enumerate(division.entries):
        tensor_of[entry.columns] = number
    tensor = tensor_of[division.columns]
    counts = [
        torch.zeros(len(one), len(division.entries), dtype=torch.float64).index_add_(1, tensor, one.double())
        for one in (first, second)
    ]
    sizes = torch.bincount(tensor, minlength=len(division.entries)).clamp_min(1)
    chance = (counts[0] * counts[1] / sizes).sum(1)
    common, kept = (first & second).double().sum(1), first.double().sum(1)  # as many as the second keeps
    return ((common - chance) / (kept - chance)).numpy()


def _emerged(overlap: Array, steps: Array, threshold: float, window: int) -> Array:
    """The first step whose mask is close to each of those before: (members,)."""
    found = np.full(len(overlap), np.nan)
    for member, table in enumerate(overlap):
        for place in range(window, len(steps)):
            if (table[place, place - window : place] >= 1 - threshold).all():
                found[member] = steps[place]
                break
    return found
