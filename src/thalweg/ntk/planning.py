"""How much memory a program of a kernel needs at once, and what of a kernel is therefore computed at once."""

from collections.abc import Sequence
from math import isqrt, prod

import torch

from thalweg.errors import UsageError
from thalweg.ntk.dual import Hermite
from thalweg.ntk.dual.affine import Affine as Times
from thalweg.ntk.dual.error_function import Erf
from thalweg.ntk.dual.gelu import GELU
from thalweg.ntk.dual.piecewise import PiecewiseLinear
from thalweg.ntk.nodes.affine import Affine
from thalweg.ntk.nodes.attention import Attention
from thalweg.ntk.nodes.contraction import Gram
from thalweg.ntk.nodes.convolution import Windowed
from thalweg.ntk.nodes.elementwise import Activation
from thalweg.ntk.nodes.normalization import Normalized
from thalweg.ntk.nodes.step import Own, Step
from thalweg.ntk.reading import Program

CACHED = 2**19  # bytes of one block of a tile at most: a few of them stay in a core's cache

# Numbers that a step holds at once for an entry of its largest block, beside what it is given: counted by torch's
# profiler. What computes in float64, or in many terms, holds the most.
_STEPS: dict[type, float] = {Affine: 1.1, Windowed: 3.1, Gram: 6.0, Normalized: 14.1, Attention: 40.0}
_DUALS: dict[type, float] = {Hermite: 20.0, GELU: 25.1, Erf: 15.1, PiecewiseLinear: 18.1}
_OTHERS = 4.0  # steps
_CLOSED = 7.5  # activations in closed form


def last_use(program: Program) -> dict[int, int]:
    """Of every step whose values are read, the number of the last step that reads them."""
    return {one: number for number, step in enumerate(program.steps) for one in step.inputs}


def numbers_of(program: Program, *, pairs: bool) -> int:
    """How many numbers are held at most for one pair, or for one input with itself.

    Those are the blocks that later steps read, copies of those that are read again, and what the step itself holds.
    """
    last, each = last_use(program), 1 + pairs  # the distance, and of pairs the tangent kernel too
    sizes = [
        positions_of(step) ** (2 if full else 1 if pairs else 0)
        for step, full in zip(program.steps, program.full, strict=True)
    ]
    most = 0.0
    for number, step in enumerate(program.steps):
        alive = sum(sizes[one] for one in range(number) if last.get(one, -1) >= number)
        copied = sum(sizes[one] for one in step.inputs if last[one] > number or step.inputs.count(one) > 1)
        largest = max([sizes[number], *(sizes[one] for one in step.inputs)])
        most = max(most, (alive + copied) * each + largest * _work(step))
    return int(most) + 1


def edge_of(program: Program, dtype: torch.dtype, budget: int) -> int:
    """Inputs along a side of a tile that keeps to a budget of bytes, and whose blocks stay in the cache.

    Raises:
        UsageError: a single pair needs more.
    """
    pair = numbers_of(program, pairs=True) * _size(dtype)
    if pair > budget:
        msg = (
            f"One pair of inputs needs {pair:,} bytes for {max(map(positions_of, program.steps))} positions, more than "
            f"the {max(budget, 0):,} that memory_budget leaves beside what is known of each input. Allow more, or pool "
            "the inputs to fewer positions."
        )
        raise UsageError(msg)
    largest = max(
        positions_of(step) ** (2 if full else 1) for step, full in zip(program.steps, program.full, strict=True)
    )
    return max(min(isqrt(budget // pair), isqrt(CACHED // 4 // largest) if largest < CACHED // 4 else 1), 1)


def threads_of(program: Program, dtype: torch.dtype, budget: int, threads: int) -> int:
    """How many threads may each compute a tile of its own."""
    return max(min(threads, budget // (numbers_of(program, pairs=True) * _size(dtype))), 1)


def inputs_at_once(program: Program, dtype: torch.dtype, budget: int) -> int:
    """Inputs that are computed alone at once; half of the budget is for what is kept of them all."""
    each = numbers_of(program, pairs=False) * _size(dtype)
    return max(min(budget // 2, 16 * CACHED) // each, 1)


def held_by(owns: Sequence[Own]) -> int:
    """Bytes of what is known of inputs alone."""
    tensors = [one for own in owns for one in (own.q, own.mean, own.extra) if one is not None]
    return sum(one.numel() * one.element_size() for one in tensors)


def positions_of(step: object) -> int:
    """How many positions a step's values have."""
    return prod(getattr(step, "positions", ()))


def _work(step: Step) -> float:
    if isinstance(step, Activation):
        dual = step.dual.dual if isinstance(step.dual, Times) else step.dual
        return _DUALS.get(type(dual), _CLOSED)
    return _STEPS.get(type(step), _OTHERS)


def _size(dtype: torch.dtype) -> int:
    return torch.finfo(dtype).bits // 8
