"""Activation matching: permutations by which units have values that are most alike on the same examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.connectivity.alignment.assignment import best
from thalweg.connectivity.alignment.matching import Matched
from thalweg.connectivity.alignment.nests import Nest
from thalweg.data import ExampleSet
from thalweg.errors import ModelError
from thalweg.population import Batch, Population, Problem, Structure
from thalweg.population.structure.places import Place
from thalweg.population.structure.replay import Replay

_AT_ONCE = 256  # examples
_TIE = 1e-6  # weight of values before they are read, which tell units apart that are constant where they are read
Kind = tuple[str, ...]  # groups whose units are compared with each other's: one, or those within another's units
Units = Float[Tensor, "units values"]


@dataclass
class _Moments:
    """Sums over examples and positions: of a member's units, of its reference's, of their squares and products."""

    count: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, reference: Units, member: Units) -> None:
        self.count += reference.shape[1]
        for name, value in {
            "x": reference.sum(1),
            "y": member.sum(1),
            "xx": reference.square().sum(1),
            "yy": member.square().sum(1),
            "xy": reference @ member.mT,
        }.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def similar(self, measure: str) -> Float[Tensor, "units units"]:
        """Correlations or covariances; 0 of a unit that never changes."""
        x, y, xx, yy, xy = (self.sums[name] / self.count for name in ("x", "y", "xx", "yy", "xy"))
        covariance = xy - x[:, None] * y
        if measure == "covariance":
            return covariance
        spread, other = ((squares - mean.square()).clamp_min(0).sqrt() for squares, mean in ((xx, x), (yy, y)))
        still, flat = spread <= 1e-7 * xx.sqrt(), other <= 1e-7 * yy.sqrt()
        found = covariance / (spread[:, None] * other).clamp_min(1e-300)
        return found.masked_fill(still[:, None] | flat, 0)


def matched_activations(
    problem: Problem,
    nests: Sequence[Nest],
    reference: Population,
    members: Population,
    examples: ExampleSet,
    measure: str,
) -> Matched:
    """Permutations by which the values of units are most alike.

    What is compared are the values that are read: by weights, by sums, by products of queries and keys. Where several
    operations read a group, as a residual stream, the mean over what they read is taken. Units that never change there,
    as those of ReLU that are never active, are told apart by what weights write of them.
    """
    structure = problem.structure
    kinds = [kind for nest in nests for kind in _kinds(nest)]
    similar = _similar(problem, structure, kinds, reference, members, examples, measure)

    def between(some: Sequence[Nest], others: Sequence[Nest]) -> Tensor:
        units = sum(nest.group.units for nest in some)
        found = similar.get(tuple(nest.group.name for nest in some))
        return torch.zeros(len(members), units, units, dtype=torch.float64) if found is None else found

    orders, value, alike = {}, np.zeros(len(members)), {}
    for nest in nests:
        found = best(nest, nest, between)
        gained = found.value - found.standing > 1e-9 * nest.group.units
        for group, order in found.orders:
            orders[group.name] = torch.from_numpy(np.where(gained[:, None], order, np.arange(group.units)))
        after, units = np.where(gained, found.value, found.standing), _units(nest)
        value, alike[nest.group.name] = value + after, (found.standing / units, after / units)
    once = np.ones(len(members), dtype=np.int64)
    return Matched(orders, value, once, once == 1, alike)


def _units(nest: Nest) -> int:
    """How many are compared."""
    return sum(_units(one) for kind in nest.inner for one in kind) if nest.inner else nest.group.units


def _kinds(nest: Nest) -> Iterator[Kind]:
    if not nest.inner:
        yield (nest.group.name,)
    for kind in nest.inner:
        if kind[0].inner:
            for one in kind:
                yield from _kinds(one)
        else:
            yield tuple(one.group.name for one in kind)


def _values(structure: Structure, kind: Kind) -> tuple[list[str], list[str]]:
    """The values in which units of all these groups lie: those that are read, and those that are written.

    Raises:
        ModelError: there are none.
    """
    reading = {one.name: one for group in kind for one in structure.readers(group)}.values()
    read = [name for one in reading for name in one.inputs]
    written = [one.name for group in kind for one in structure.writers(group)]
    found = [
        [name for name in dict.fromkeys(names) if _seen(structure, name) and _holds(structure, name, kind)]
        for names in (read, written)
    ]
    if not any(found):
        msg = (
            f"No value of the model shows the units of {kind[0]!r}, so their activations cannot be compared; write "
            'method="weights".'
        )
        raise ModelError(msg)
    return found[0], found[1]


def _holds(structure: Structure, name: str, kind: Kind) -> bool:
    return {*kind} <= {place.group for place in structure.places(name)}


def _seen(structure: Structure, name: str) -> bool:
    """Whether a value is computed from the input."""
    left, known = [name], set()
    while left:
        one = left.pop()
        if one in structure.inputs:
            return True
        made = structure.producer(one)
        if made is not None and one not in known:
            known.add(one)
            left.extend(made.inputs)
    return False


def _similar(
    problem: Problem,
    structure: Structure,
    kinds: Sequence[Kind],
    reference: Population,
    members: Population,
    examples: ExampleSet,
    measure: str,
) -> dict[Kind, Float[Tensor, "members units units"]]:
    """How alike units are, by kind: the mean over the values in which they lie."""
    lie = {kind: _values(structure, kind) for kind in kinds}
    places = {
        (kind, name): [_place(structure, name, group) for group in kind]
        for kind, values in lie.items()
        for names in values
        for name in names
    }
    wanted = {name for _, name in places}
    moments = {key: [_Moments() for _ in range(len(members))] for key in places}
    replays: dict[int, Replay] = {}
    for start in range(0, len(examples), _AT_ONCE):
        batch = Batch.range(examples, start, min(start + _AT_ONCE, len(examples)))
        if batch.size not in replays:
            replays[batch.size] = Replay(problem.template, batch.inputs)
        replay = replays[batch.size]

        def units(population: Population, member: int) -> dict[tuple[Kind, str], Units]:
            values = replay.values(_tensors(population, member), batch.inputs, wanted)  # noqa: B023
            return {
                (kind, name): torch.cat([place.seen(values[name]) for place in of]).double()
                for (kind, name), of in places.items()
            }

        first = units(reference, 0)
        for member in range(len(members)):
            if member and len(reference) > 1:
                first = units(reference, member)
            for key, own in units(members, member).items():
                moments[key][member].add(first[key], own)

    def mean(kind: Kind, names: Sequence[str], member: int) -> Tensor | float:
        found = [moments[kind, name][member].similar(measure) for name in names]
        return torch.stack(found).mean(0) if found else 0.0

    return {
        kind: torch.stack(
            [torch.as_tensor(mean(kind, read, m) + _TIE * mean(kind, written, m)) for m in range(len(members))]
        ).cpu()
        for kind, (read, written) in lie.items()
    }


def _place(structure: Structure, name: str, group: str) -> Place:
    return next(place for place in structure.places(name) if place.group == group)


def _tensors(population: Population, member: int) -> dict[str, Tensor]:
    own = population[member]
    tensors = {**{name: one.clone() for name, one in own.buffers.items()}, **own.layout.views(own.theta)}
    return {name: tensor[0] for name, tensor in tensors.items()}
