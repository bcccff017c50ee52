"""A program of a kernel on data: every input alone, then pairs, tile by tile within a budget of memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isqrt, prod

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.nodes.step import Block, Own, Pairing
from thalweg.ntk.reading import Program, raw_values

CACHED = 2**19  # bytes of one block of a tile at most: a few of them stay in a core's cache


@dataclass(frozen=True, eq=False)
class Side:
    """Inputs of one side of a kernel, and what is known of each after every step."""

    owns: tuple[Own, ...]

    def rows(self, start: int, stop: int) -> "Side":
        """Some of the inputs."""
        return Side(tuple(_rows(one, start, stop) for one in self.owns))


def side(program: Program, inputs: Tensor, dtype: torch.dtype, budget: int) -> Side:
    """Every input alone, as many at once as the budget allows."""
    raws = raw_values(program, inputs)
    each = max(_numbers(program, pairs=False) * _size(dtype), 1)
    count = max(min(budget, 16 * CACHED) // each, 1)
    parts = [
        _alone(program, {name: one[start : start + count] for name, one in raws.items()}, dtype)
        for start in range(0, len(inputs), count)
    ]
    return Side(tuple(_joined([part[number] for part in parts]) for number in range(len(program.steps))))


def _alone(program: Program, raws: dict[str, Tensor], dtype: torch.dtype) -> list[Own]:
    owns: list[Own] = []
    for step, full in zip(program.steps, program.full, strict=True):
        given = [owns[one] for one in step.inputs]
        own = step.own(given, raws)
        if full:
            blocks = [Block(one.distance.clone()) for one in given if one.distance is not None]
            at = Pairing(False, True, given, given, own, own, True, dtype)
            own = replace(own, distance=step.block(at, blocks).distance)
        owns.append(own)
    return [replace(one, distance=None) for one in owns]


def kernels(
    program: Program,
    left: Side,
    right: Side,
    *,
    same: bool,
    dtype: torch.dtype,
    budget: int,
    tell: Callable[[int, int], None],
) -> tuple[Tensor, Tensor]:
    """K and Theta of every pair, (inputs, others), float64; of the same inputs on both sides only half is computed."""
    rows, columns = len(left.owns[-1].q), len(right.owns[-1].q)
    nngp = torch.empty(rows, columns, dtype=torch.float64)
    ntk = torch.empty(rows, columns, dtype=torch.float64)
    last_use = {one: number for number, step in enumerate(program.steps) for one in step.inputs}
    edge = _edge(program, dtype, budget)
    tiles = list(_tiles(rows, columns, edge, same=same))
    for number, (top, bottom, start, stop) in enumerate(tiles):
        one, other = left.rows(top, bottom), right.rows(start, stop)
        block = _tile(program, one, other, last_use, same=same and top == start, dtype=dtype)
        q, q_other = one.owns[-1].q, other.owns[-1].q
        nngp[top:bottom, start:stop] = (q[:, None] + q_other) / 2 - block.distance
        ntk[top:bottom, start:stop] = 0.0 if block.theta is None else block.theta
        if same and top != start:
            nngp[start:stop, top:bottom] = nngp[top:bottom, start:stop].T
            ntk[start:stop, top:bottom] = ntk[top:bottom, start:stop].T
        tell(number + 1, len(tiles))
    if same:
        nngp, ntk = (nngp + nngp.T) / 2, (ntk + ntk.T) / 2
    return nngp, ntk


def _tile(
    program: Program, left: Side, right: Side, last_use: dict[int, int], *, same: bool, dtype: torch.dtype
) -> Block:
    blocks: dict[int, Block] = {}
    for number, (step, full) in enumerate(zip(program.steps, program.full, strict=True)):
        given = []
        for one in step.inputs:
            final = last_use[one] == number and step.inputs.count(one) == 1
            given.append(blocks.pop(one) if final else _copied(blocks[one]))
        ours, theirs = ([owner.owns[one] for one in step.inputs] for owner in (left, right))
        at = Pairing(True, full, ours, theirs, left.owns[number], right.owns[number], same, dtype)
        blocks[number] = step.block(at, given)
    return blocks[len(program.steps) - 1]


def _copied(block: Block) -> Block:
    return Block(block.distance.clone(), None if block.theta is None else block.theta.clone())


def _tiles(rows: int, columns: int, edge: int, *, same: bool) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, rows, edge):
        for start in range(top if same else 0, columns, edge):
            yield top, min(top + edge, rows), start, min(start + edge, columns)


def _edge(program: Program, dtype: torch.dtype, budget: int) -> int:
    """Inputs along a side of a tile."""
    pair = _numbers(program, pairs=True) * _size(dtype)
    if pair > budget:
        msg = (
            f"One pair of inputs needs {pair:,} bytes for {max(map(_positions, program.steps))} positions, more than "
            f"memory_budget={budget:,}. Allow more, or pool the inputs to fewer positions."
        )
        raise UsageError(msg)
    largest = max(
        _positions(step) ** (2 if full else 1) for step, full in zip(program.steps, program.full, strict=True)
    )
    return max(min(isqrt(budget // pair), isqrt(CACHED // 4 // largest) if largest < CACHED // 4 else 1), 1)


def _numbers(program: Program, *, pairs: bool) -> int:
    """How many numbers are held at most for one pair, or for one input: blocks alive, and temporaries of a step."""
    last_use = {one: number for number, step in enumerate(program.steps) for one in step.inputs}
    sizes = [
        _positions(step) ** (2 if full else 1 if pairs else 0)
        for step, full in zip(program.steps, program.full, strict=True)
    ]
    most = 0
    for number, step in enumerate(program.steps):
        alive = sum(sizes[one] for one in range(number) if last_use.get(one, -1) >= number)
        largest = max([sizes[number], *(sizes[one] for one in step.inputs)])
        most = max(most, alive * (1 + pairs) + largest * (6 + 2 * pairs))
    return most


def _positions(step: object) -> int:
    return prod(getattr(step, "positions", ()))


def _size(dtype: torch.dtype) -> int:
    return torch.finfo(dtype).bits // 8


def _rows(own: Own, start: int, stop: int) -> Own:
    mean, extra = own.mean, own.extra
    return Own(
        own.q[start:stop],
        None if mean is None else mean[start:stop],
        None if extra is None else extra[start:stop],
    )


def _joined(parts: list[Own]) -> Own:
    if len(parts) == 1:
        return parts[0]
    means = [part.mean for part in parts if part.mean is not None]
    extras = [part.extra for part in parts if part.extra is not None]
    return Own(
        torch.cat([part.q for part in parts]),
        torch.cat(means) if means else None,
        torch.cat(extras) if extras else None,
    )
