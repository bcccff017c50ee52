"""What a family with trainings found: the bound of each seed, all candidates, and what test examples say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from thalweg.figures import Axis, Figure, ReferenceLine, Scatter
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.hold_out import hold_out_lower
from thalweg.generalization.bounds.rows import BoundRow
from thalweg.generalization.bounds.trainings import BoundCost
from thalweg.results import Cost, Provenance, Reading, Result

_CONTRADICTION = 0.05  # of the lower end of the test error


@dataclass(frozen=True, eq=False)
class Certificate(Result):
    """What `half_prior` found, and `data_free`, `random_subspace` and `quantized_linear` likewise.

    Args:
        reading: "bound" and "error" (of the predictor that it is about, on the bound's examples) (seed), of the best
            candidate, whose number is "chosen"; "bound by candidate" and "error by candidate" (candidate, seed), with
            "KL" in nats or "bits" of each; and where the problem has test examples "held-out error" (seed), and
            "contradicted" (seed): whether the bound is below the lower end of that.
        row: for a board of as many networks.
        cost: what it took, as was said beforehand.
        network: of `half_prior`, the hold-out bound of its networks themselves, as `half_hold_out` gives it.
    """

    row: BoundRow = field(repr=False)
    cost: BoundCost
    network: "Certificate | None" = field(default=None, repr=False)

    def figure(self) -> Figure:
        """The bound of every candidate and seed beside the error that it is taken of."""
        names = self.reading.coordinate("candidate")
        bounds, errors = self["bound by candidate"], self["error by candidate"]
        at = np.repeat(np.arange(len(names))[::-1], bounds.shape[1]).astype(float)
        marks = [
            Scatter(bounds.ravel(), at, label="bound"),
            Scatter(errors.ravel(), at, label="error of the same", hollow=True),
            ReferenceLine(1.0, "vertical"),
        ]
        return Figure.of(
            self.row.family,
            marks,
            Axis("share of wrong answers", limits=(0.0, 1.02)),
            Axis("candidate", names=tuple(map(str, names[::-1]))),
            caption=f"A point for each of {bounds.shape[1]} seeds. " + " ".join(self.reading.notes),
        )


def certificate(
    family: str,
    about: str,
    bounds: Array,
    errors: Array,
    *,
    sizes: tuple[str, Array],
    candidates: list[str],
    seeds: list[int],
    m: int,
    delta: float,
    held_out: tuple[Array, int] | None,
    cost: BoundCost,
    seconds: float,
    provenance: Provenance,
    notes: tuple[str, ...],
    beside: Mapping[str, Array] | None = None,
) -> Certificate:
    """The result of a family.

    Args:
        family, about: see `BoundRow`.
        bounds, errors: (candidates, seeds); a union over candidates is paid in the bounds.
        sizes: what tells candidates from their priors, its name and (candidates, seeds).
        held_out: errors (candidates, seeds) of the same predictors on so many test examples.
        beside: what else there is of every seed.
    """
    best = bounds.argmin(0)
    at = best, np.arange(len(seeds))
    single = {"bound": bounds[at], "error": errors[at], "chosen": best}
    if held_out is not None:
        error, count = held_out[0][at], held_out[1]
        least = hold_out_lower(np.round(error * count), count, _CONTRADICTION)
        single |= {"held-out error": error, "contradicted": single["bound"] < least}
    single |= dict(beside or {})
    tables = {"bound by candidate": bounds, "error by candidate": errors, sizes[0]: sizes[1]}
    reading = Reading(
        family,
        single | tables,
        dict.fromkeys(single, ("seed",)) | dict.fromkeys(tables, ("candidate", "seed")),
        {"candidate": candidates, "seed": seeds},
        {"KL": "nats"} if sizes[0] == "KL" else {},
        sample_size=m,
        cost=Cost(seconds, forwards=cost.steps + cost.draws, backwards=cost.steps),
        provenance=provenance,
        notes=notes,
    )
    note = f"the best of {len(candidates)} candidates, a union over which is paid" if len(candidates) > 1 else ""
    row = BoundRow(family, single["bound"], single["error"], about, m, 1 - delta, note=note)
    return Certificate(reading, row, cost)
