"""Whether weighted sums of networks can be taken, and every reason why not."""

from collections.abc import Mapping, Sequence

import torch

from thalweg.errors import UsageError, check_type
from thalweg.population import Population


def check_anchors(what: str, anchors: Sequence[Population]) -> None:
    """Raise UsageError unless weighted sums of these can be taken, member by member; `what` names who asks."""
    if isinstance(anchors, Population):
        msg = (
            f"{what} anchors must be a list of Populations; got one Population of {len(anchors)} members. For the "
            f"members of one population as anchors write [population[0], population[1], ...]."
        )
        raise UsageError(msg)
    check_type(f"{what} anchors", anchors, Sequence, "a list of at least one Population")
    check_type(f"{what} anchors", list(anchors) or None, list, "a list of at least one Population")
    for anchor in anchors:
        check_type(
            f"{what} anchor", anchor, Population, "a Population such as run.final, or problem.population([module])"
        )
    first = anchors[0]
    for other in anchors[1:]:
        found = differences(first, other)
        if found:
            msg = (
                f"The two layouts differ: {'; '.join(found)}. {what} needs networks of one architecture, all made by "
                "the model of one Problem."
            )
            raise UsageError(msg)
        if len(first) != len(other):
            msg = f"{what} needs as many members everywhere; got {len(first)} and {len(other)}."
            if 1 in (len(first), len(other)):
                msg += f" For one network with each of several write one[[0] * {max(len(first), len(other))}]."
            raise UsageError(msg)
        frozen = sorted(first.buffers.keys() - first.running.keys())
        apart = [name for name in frozen if not torch.equal(first.buffers[name], other.buffers[name])]
        if apart:
            names = ", ".join(map(repr, apart))
            which = f"frozen parameter {names} differs" if len(apart) == 1 else f"frozen parameters {names} differ"
            msg = (
                f"The {which}, so {what} has no weighted sums of trained ones alone; freeze the same values in both, "
                "or have them trained: parameter.requires_grad_(True) in the model."
            )
            raise UsageError(msg)


def differences(first: Population, other: Population) -> list[str]:
    """In what the architectures of two populations differ: a clause for each tensor; empty where they are one.

    >>> import thalweg as tw
    >>> from thalweg.evaluation.anchors import differences
    >>> narrow, deep = (tw.Population.initialize(lambda s=sizes: tw.nets.mlp(*s), [0]) for sizes in ((4, 3), (4, 5, 3)))
    >>> for clause in differences(narrow, deep):
    ...     print(clause)
    'output.weight' is (3, 4) in the first and (3, 5) in the second
    'hidden1.weight' (5, 4) is in the second alone
    'hidden1.bias' (5,) is in the second alone
    """
    one, two = _shapes(first), _shapes(other)
    found = [
        f"{name!r} is {shape} in the first and {two[name]} in the second"
        for name, shape in one.items()
        if name in two and two[name] != shape
    ]
    for here, there, place in ((one, two, "first"), (two, one, "second")):
        found += [f"{name!r} {shape} is in the {place} alone" for name, shape in here.items() if name not in there]
    mine, theirs = ({entry.name for entry in population.layout} for population in (first, other))
    for name in one:
        if name in two and (name in mine) != (name in theirs):
            trained, frozen = ("first", "second") if name in mine else ("second", "first")
            found.append(f"{name!r} is trained in the {trained} and frozen in the {frozen}")
    if not found:
        for number, (a, b) in enumerate(zip(first.layout, other.layout, strict=True), start=1):
            if a.name != b.name:
                found.append(f"tensor {number} is {a.name!r} in the first and {b.name!r} in the second")
    return found


def _shapes(population: Population) -> Mapping[str, tuple[int, ...]]:
    """By name of a trained tensor or a buffer: its shape."""
    trained = {entry.name: entry.shape for entry in population.layout}
    return trained | {name: tuple(buffer.shape[1:]) for name, buffer in population.buffers.items()}
