"""What aligning found: the same functions with their units in another order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from thalweg.figures import Axis, Bars, Figure, Line
from thalweg.figures.marks import Mark
from thalweg.population import Population
from thalweg.results import Result

_FEW = 12  # groups that have a bar each


@dataclass(frozen=True, eq=False)
class Alignment(Result):
    """What `align` found.

    Args:
        reading: "similarity before" and "similarity after" (group, member): cosines of all that belongs to a group's
            units, of a member and of its reference; "moved" (group, member): the share of units that are elsewhere now;
            "distance before" and "distance after" (member): of all parameters from the reference; "sweeps" (member).
            Of straight-through matching also the loss of the network halfway to the reference (member), on the examples
            it was asked to compare on: "loss halfway before", of the members as they were given, "loss halfway by
            weights", by weight matching alone (from `start`, where that is given), and "loss halfway after", the lowest
            of all that were met, thus chosen on these examples: on others it is likely higher. Of activations also
            "correlation before" and "correlation after" (matched, member), the means over the units of a group and of
            those within its units.
        population: the members, with their units in the order found.
        permutations: by the name of a group, outer ones before those within their units, in which order they were
            applied: (members, units). New unit k is what was unit `permutation[k]`.
        finished: whether the search was at its end: (members,). Of weights: no group alone could become more similar
            by another permutation; of `align_together`: no member by another match to the mean of the others. Of
            activations: always, as each group is matched exactly, whatever the others are. Of straight-through
            matching: the lowest loss was met in the first half of the steps, which proves nothing of further ones.
    """

    population: Population
    permutations: Mapping[str, Int64[Tensor, "members units"]]
    finished: tuple[bool, ...]

    @property
    def converged(self) -> bool:
        """Whether the search of every member was at its end, as `finished` defines it for each method."""
        return all(self.finished)

    def facts(self) -> dict[str, str]:
        """How far members were from their reference and are now, and how many units are elsewhere."""
        before, after = (self[f"distance {when}"].mean() for when in ("before", "after"))
        return {
            "members": f"{len(self.population):,}",
            "mean distance": f"{before:.4g} before, {after:.4g} after",
            "units moved": f"{self['moved'].mean():.0%}",
        }

    def figure(self) -> Figure:
        """How similar each group is to the reference's, before and after: means over members, and their range."""
        names = [str(name) for name in self.reading.coordinate("group")]
        axis, caption = Axis("cosine with the reference"), " ".join(self.reading.notes)
        numbers = np.arange(len(names))
        marks: list[Mark] = []
        for when in ("before", "after"):
            of = self[f"similarity {when}"]
            ends = {} if of.shape[1] == 1 else {"low": of.min(1), "high": of.max(1)}
            if len(names) <= _FEW:
                marks.append(Bars(names, of.mean(1), label=when, **ends))
            else:
                marks.append(Line(numbers, of.mean(1), label=when, **ends))
        across = Axis("group of units" if len(names) <= _FEW else "number of the group of units")
        return Figure.of("Similarity to the reference", marks, across, axis, caption=caption)
