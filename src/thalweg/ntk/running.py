"""A program of a kernel on data: every input alone, then pairs, tile by tile within a budget of memory."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.ntk.nodes.step import Block, Own, Pairing
from thalweg.ntk.planning import edge_of, held_by, inputs_at_once, last_use, threads_of
from thalweg.ntk.reading import Program, raw_values
from thalweg.population.threads import Team, one_thread


@dataclass(frozen=True, eq=False)
class Side:
    """Inputs of one side of a kernel, and what is known of each after every step."""

    owns: tuple[Own, ...]

    def rows(self, start: int, stop: int) -> "Side":
        """Some of the inputs."""
        return Side(tuple(_rows(one, start, stop) for one in self.owns))


def side(program: Program, inputs: Tensor, dtype: torch.dtype, budget: int) -> Side:
    """Every input alone, as many at once as the budget allows; by one thread, as it is little work in small pieces."""
    count = inputs_at_once(program, dtype, budget)
    with one_thread():
        raws = raw_values(program, inputs)
        parts = [
            _alone(program, {name: one[start : start + count] for name, one in raws.items()}, dtype)
            for start in range(0, len(inputs), count)
        ]
    return Side(tuple(_joined([part[number] for part in parts]) for number in range(len(program.steps))))


def _alone(program: Program, raws: dict[str, Tensor], dtype: torch.dtype) -> list[Own]:
    owns: list[Own] = []
    last = last_use(program)
    for number, (step, full) in enumerate(zip(program.steps, program.full, strict=True)):
        given = [owns[one] for one in step.inputs]
        own = step.own(given, raws)
        final = [last[one] == number and step.inputs.count(one) == 1 for one in step.inputs]
        if full:
            known = [(one.distance, mine) for one, mine in zip(given, final, strict=True) if one.distance is not None]
            blocks = [Block(distance if mine else distance.clone()) for distance, mine in known]
            at = Pairing(False, True, given, given, own, own, True, dtype)
            own = replace(own, distance=step.block(at, blocks).distance)
        for one in step.inputs:
            if last[one] == number:
                owns[one] = replace(owns[one], distance=None)
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
    """K and Theta of every pair, (inputs, others), float64; of the same inputs on both sides only half is computed.

    Every tile is computed by one thread, as many at once as torch has threads: tiles are too small to be shared.
    """
    rows, columns = len(left.owns[-1].q), len(right.owns[-1].q)
    device = left.owns[-1].q.device
    nngp, ntk = (torch.empty(rows, columns, dtype=torch.float64, device=device) for _ in range(2))
    last = last_use(program)
    budget -= held_by(left.owns) + (0 if same else held_by(right.owns))
    threads = threads_of(program, dtype, budget, torch.get_num_threads()) if device.type == "cpu" else 1
    tiles = list(_tiles(rows, columns, edge_of(program, dtype, budget // threads), same=same))
    followed, telling, done = torch.is_grad_enabled(), threading.Lock(), 0

    def fill(worker: None, chosen: slice) -> None:
        nonlocal done
        top, bottom, start, stop = tiles[chosen.start]
        diagonal = same and top == start
        with torch.set_grad_enabled(followed):
            one, other = left.rows(top, bottom), right.rows(start, stop)
            block = _tile(program, one, other, last, same=diagonal, dtype=dtype)
            _check(block)
            kernel, tangent = nngp[top:bottom, start:stop], ntk[top:bottom, start:stop]
            theta = torch.zeros_like(block.distance) if block.theta is None else block.theta
            distance, theta = (_symmetric(each) if diagonal else each for each in (block.distance, theta))
            torch.add(one.owns[-1].q[:, None] / 2, other.owns[-1].q / 2, out=kernel).sub_(distance)
            tangent.copy_(theta)
            if same and not diagonal:
                nngp[start:stop, top:bottom] = kernel.T
                ntk[start:stop, top:bottom] = tangent.T
        with telling:
            done += 1
            tell(done, len(tiles))

    Team(lambda: None, threads, len(tiles)).each([slice(number, number + 1) for number in range(len(tiles))], fill)
    return nngp, ntk


def _symmetric(tile: Tensor) -> Tensor:
    return (tile + tile.T) / 2


def _check(block: Block) -> None:
    """Refuse numbers that are not finite; a sum finds them."""
    for one in (block.distance, block.theta):
        if one is not None and not bool(one.sum(dtype=torch.float64).isfinite()):
            msg = (
                "The kernel overflows: its numbers grow from layer to layer. Use smaller weight_std, scale the inputs, "
                "or use dtype=torch.float64."
            )
            raise DataError(msg)


def _tile(program: Program, left: Side, right: Side, last: dict[int, int], *, same: bool, dtype: torch.dtype) -> Block:
    blocks: dict[int, Block] = {}
    for number, (step, full) in enumerate(zip(program.steps, program.full, strict=True)):
        given = []
        for one in step.inputs:
            final = last[one] == number and step.inputs.count(one) == 1
            given.append(blocks.pop(one) if final else _copied(blocks[one]))
        ours, theirs = ([owner.owns[one] for one in step.inputs] for owner in (left, right))
        at = Pairing(True, full, ours, theirs, left.owns[number], right.owns[number], same, dtype)
        blocks[number] = step.block(at, given)
    return blocks[len(program.steps) - 1]


def _copied(block: Block) -> Block:
    return Block(block.distance.clone(), None if block.theta is None else block.theta.clone())


def _tiles(rows: int, columns: int, edge: int, *, same: bool) -> Iterator[tuple[int, int, int, int]]:
    edge = ceil(rows / ceil(rows / edge)) if same else edge  # tiles of one size: least is computed twice
    for top in range(0, rows, edge):
        for start in range(top if same else 0, columns, edge):
            yield top, min(top + edge, rows), start, min(start + edge, columns)


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
