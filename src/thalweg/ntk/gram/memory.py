"""How a kernel is cut so that what is in memory stays within a budget."""

import math
from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.utils._pytree import tree_map

from thalweg.errors import UsageError
from thalweg.ntk.gram.counting import Block
from thalweg.ntk.gram.counts import factors_of
from thalweg.ntk.gram.parts import Plan
from thalweg.ntk.gram.program import shape_of
from thalweg.ntk.gram.tiles import Tiling
from thalweg.population import Batch, Population, Problem
from thalweg.population.looped import activation_bytes

_NEAR = 2**24  # numbers of a tile of several members, of which more are not faster
_SIDE = 512  # rows of a block


@dataclass(frozen=True)
class Numbers:
    """How many are in memory for one example of one member.

    Args:
        activations: of a forward pass.
        inputs: of operations, kept.
        cotangents: and gradients, of every output, kept.
        passing: of every output, only while it is pulled back.
        built: while a part is contracted, besides those of every output.
        built_each: of every output.
    """

    activations: int
    inputs: int
    cotangents: int
    passing: int
    built: int
    built_each: int

    def most(self, members: int, examples: int, outputs: int, *, alone: bool) -> int:
        """In memory at once, for a tile of this size; `alone`: where all is one tile."""
        held = self.inputs + outputs * self.cotangents
        made = self.inputs + self.activations + outputs * (self.cotangents + self.passing)
        built = self.built + outputs * self.built_each
        most = max(made, held + built) if alone else max(held + made, 2 * (held + built))
        side = examples * outputs
        return members * (examples * most + 3 * min(side, _SIDE + outputs) * side)


def numbers_of(problem: Problem, population: Population, inputs: Any, plan: Plan) -> Numbers:
    """Counted from the model's program; measured on one example where it has none."""
    direct = sum(plan.sizes[name] for name in plan.model.direct)
    program = plan.model.program
    if program is None:
        one = tree_map(lambda leaf: leaf[:1].clone(), inputs)  # whose storage is its own
        batch = Batch(one, problem.data.train.slice(0, 1)[1], shared=True)
        kept = activation_bytes(problem, population[:1], batch, training=False) // population.theta.element_size()
        return Numbers(2 * kept, 0, direct, direct + kept, 0, 0)
    nodes = [math.prod(shape_of(node)) for node in program.nodes if hasattr(node.meta.get("val"), "shape")]
    inputs_of = {node: _size(node.args[0]) for node in plan.model.nodes}
    built, each = 0, 0
    for part in plan.parts:
        if part.way == "products":
            positions, _, columns = factors_of(part)
            built = max(built, positions * columns if part.sites[0].kind == "convolution" else 0)
            each = max(each, 2 * sum(_size(site.node) for site in part.sites))
    return Numbers(
        2 * sum(nodes),
        sum(inputs_of.values()),
        sum(_size(node) for node in plan.model.nodes) + direct,
        3 * max(nodes, default=0),
        built,
        each,
    )


def tiling_of(numbers: Numbers, members: int, block: Block, room: int, *, square: bool) -> Tiling:
    """The largest tiles of which as many numbers as there is room for are in memory at once.

    Args:
        numbers: of an example of a member.
        members: in all.
        block: the whole kernel of one.
        room: numbers that may be in memory besides the kernel.
        square: whether rows and columns are the same examples.

    Raises:
        UsageError: one output of one example has more.
    """
    scratch = room // 4
    free, tile, outputs = room - scratch, max(block.examples, block.others), block.outputs

    def most() -> int:
        alone = square and (tile, outputs) == (block.examples, block.outputs)
        return numbers.most(1, tile, outputs, alone=alone)

    size = max(1, min(members, min(free, _NEAR) // most()))
    while most() > free:
        if tile > 1:
            tile = -(-tile // 2)
        elif outputs > 1:
            outputs = -(-outputs // 2)
        else:
            raise _too_small(most() + scratch, room)
    return Tiling(size, tile, outputs, scratch)


def sizes_of(numbers: Numbers, members: int, block: Block, room: int) -> tuple[int, int, int]:
    """Members, rows' examples and columns' outputs at once, of products with vectors.

    Raises:
        UsageError: one output of one example has more numbers than there is room for.
    """
    rows, outputs = block.examples, block.other_outputs

    def most() -> int:
        return numbers.activations + outputs * (
            3 * numbers.cotangents + numbers.passing + 2 * rows * numbers.activations
        )

    size = max(1, min(members, min(room, _NEAR) // most()))
    while most() > room:
        if outputs > 1:
            outputs = -(-outputs // 2)
        elif rows > 1:
            rows = -(-rows // 2)
        else:
            raise _too_small(most(), room)
    return size, rows, outputs


def _too_small(needed: int, room: int) -> UsageError:
    return UsageError(
        f"One output of one example needs {needed:,} numbers in memory besides the kernel, and the memory budget has "
        f"room for {room:,}; raise memory_budget."
    )


def _size(node: Any) -> int:
    return math.prod(shape_of(node)) if isinstance(node, fx.Node) else 0
