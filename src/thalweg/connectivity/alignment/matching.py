"""Weight matching: permutations by which the members' weights are most similar to those of a reference."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg.connectivity.alignment.assignment import best
from thalweg.connectivity.alignment.nests import Nest
from thalweg.connectivity.alignment.weights import Rows, Weights
from thalweg.randomness import generator

_MOST_SWEEPS = 100
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}  # of the product of norms


@dataclass(frozen=True, eq=False)
class Matched:
    """Permutations, and how they were found.

    Args:
        orders: of every group, outer ones before those within them: (members, units).
        value: how similar members are to their reference then, in whatever is compared: (members,).
        sweeps: over all groups: (members,).
        converged: whether no group alone could gain any more: (members,).
        alike: mean correlations (or covariances) of the units of a group before and after: (members,) each.
        losses: halfway to the reference, by when: (members,) each.
        unfinished: what is to be said of members that have not converged.
    """

    orders: Mapping[str, Int64[Tensor, "members units"]]
    value: NDArray[np.float64]
    sweeps: NDArray[np.int64]
    converged: NDArray[np.bool_]
    alike: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    losses: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    unfinished: str = "might still gain by further sweeps"


def matched(
    nests: Sequence[Nest],
    reference: Mapping[str, Tensor],
    members: Mapping[str, Tensor],
    *,
    seed: int,
    start: Mapping[str, Int64[Tensor, "members units"]] | None = None,
) -> Matched:
    """Coordinate descent over groups in random order, by linear assignment, until no group gains (see `align`).

    Args:
        nests: all groups.
        reference: tensors (members or 1, ...) by name.
        members: tensors (members, ...) by name.
        seed: of the order in which groups are taken.
        start: permutations from which to go on; None: inwards from what is beyond doubt, and for members that are less
            similar then than they were, from these as they are.
    """
    weights = Weights(nests, reference, members)
    if start is not None:
        orders = [(group, start[group.name].numpy()) for nest in nests for group in nest]
        weights.move(orders, torch.arange(weights.count))
        return _Descent(weights, seed).run()
    standing = weights.total()
    inward = _Descent(weights, seed)
    inward.settle()
    found = inward.run()
    worse = np.flatnonzero(found.value < standing)
    if not len(worse):
        return found
    rows = torch.from_numpy(worse)
    some = {name: one[rows.to(one.device)] for name, one in members.items()}
    beside = {name: one if len(one) == 1 else one[rows.to(one.device)] for name, one in reference.items()}
    return _with(found, rows, _Descent(Weights(nests, beside, some), seed).run())


def _with(found: Matched, rows: Rows, other: Matched) -> Matched:
    """What was found, of some members in another way."""
    for name, order in found.orders.items():
        order[rows] = other.orders[name]
    for mine, theirs in ((found.value, other.value), (found.sweeps, other.sweeps), (found.converged, other.converged)):
        mine[rows.numpy()] = theirs
    return found


class _Descent:
    """Steps that make members more similar to their reference, a nest of groups at a time."""

    def __init__(self, weights: Weights, seed: int) -> None:
        self.weights, self.seed = weights, seed
        every, tensors = torch.arange(weights.count), {**weights.given, **weights.tensors}
        norms = {name: _norms(weights.reference[name]) * _norms(tensor) for name, tensor in tensors.items()}
        tolerance, none = TOLERANCE[next(iter(tensors.values())).dtype], np.zeros(weights.count)
        self.least = [
            tolerance * sum((norms[name] for name, of in weights.nests_in.items() if number in of), none)
            for number in range(len(weights.nests))
        ]
        self.exact = [not nest.inner and not _several(nest) for nest in weights.nests]
        self.every = every

    def settle(self) -> None:
        """Match every nest once, the one first of whose tensors most is beyond doubt: in no nest not yet matched.

        From the input, and from the output, inwards. Where all others are taken as they stand, what belongs to units
        that are not matched yet is noise, in residual streams more than the rest.
        """
        left, done = self._shuffled(0), set()
        while left:
            known = {number: self._known(number, done) for number in left}
            shares = {number: self._share(number, known[number]) for number in left}
            number = max(left, key=lambda one: shares[one])
            self.visit(number, self.every, within=known[number] if shares[number] > 0 else None)
            left.remove(number)
            done.add(number)

    def run(self) -> Matched:
        """Sweeps over all nests until none gains."""
        weights = self.weights
        due = np.ones((len(weights.nests), weights.count), dtype=bool)
        sweeps = np.zeros(weights.count, dtype=np.int64)
        for sweep in range(1, _MOST_SWEEPS + 1):
            if not due.any():
                break
            sweeps += due.any(0)
            for number in self._shuffled(sweep):
                rows = torch.from_numpy(np.flatnonzero(due[number]))
                if not len(rows):
                    continue
                due[number] = False
                gained = self.visit(number, rows).numpy()
                for other in weights.neighbors(number):
                    due[other, gained] = True
                if not self.exact[number]:
                    due[number, gained] = True
        return Matched(weights.orders(), weights.total(), sweeps, np.logical_not(due.any(0)))

    def visit(self, number: int, rows: Rows, within: Collection[str] | None = None) -> Rows:
        """Match one nest with all others as they are; which of the members gained by it, and were changed.

        Args:
            number: of the nest.
            rows: which members.
            within: names of tensors that are compared; None: all of them.
        """
        weights, nest = self.weights, self.weights.nests[number]
        found = best(nest, nest, lambda some, others: weights.between(some, others, rows, within))
        gains = np.flatnonzero(found.value - found.standing > self.least[number][rows.numpy()])
        some = rows[gains]
        if not len(some):
            return some
        orders = [(group, order[gains]) for group, order in found.orders]
        if self.exact[number]:
            weights.move(orders, some)
            return some
        before, kept = weights.value(number, some), weights.kept(number, some)
        weights.move(orders, some)
        worse = weights.value(number, some) - before <= self.least[number][some.numpy()]
        weights.put_back(kept, torch.from_numpy(worse))
        return some[torch.from_numpy(~worse)]

    def _shuffled(self, sweep: int) -> list[int]:
        return torch.randperm(len(self.weights.nests), generator=generator(self.seed, "alignment", sweep)).tolist()

    def _known(self, number: int, done: set[int]) -> set[str]:
        """The tensors of a nest in which it has indices once, and all others are matched."""
        nest = self.weights.nests[number]
        twice = set() if nest.inner else _several(nest)
        nests_in, matched = self.weights.nests_in, {*done, number}
        return {name for name, of in nests_in.items() if number in of and name not in twice and matched.issuperset(of)}

    def _share(self, number: int, known: set[str]) -> float:
        """How much of what is compared of a nest is in these tensors."""
        nests_in, reference = self.weights.nests_in, self.weights.reference
        sizes = {name: reference[name][0].numel() for name, of in nests_in.items() if number in of}
        return sum(sizes[name] for name in known) / sum(sizes.values())


def _several(nest: Nest) -> set[str]:
    """Tensors in which the units of a group have indices more than once."""
    names = [one.tensor for one in nest.own]
    return {name for name in names if names.count(name) > 1}


def _norms(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.double().flatten(1).norm(dim=1).cpu().numpy()
