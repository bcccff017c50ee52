"""How a kernel is cut so that what is in memory stays within a budget."""

import math
from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.utils._pytree import tree_map

from thalweg.errors import UsageError
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
    sizes = {entry.name: entry.size for entry in population.layout}
    direct = sum(sizes[name] for name in plan.model.direct)
    program = plan.model.program
    if program is None:
        one = tree_map(lambda leaf: leaf[:1], inputs)
        batch = Batch(one, problem.data.train.slice(0, 1)[1], shared=True)
        kept = activation_bytes(problem, population[:1], batch, training=False) // population.theta.element_size()
        return Numbers(2 * kept, 0, direct, direct + kept, 0, 0)
    nodes = [math.prod(shape_of(node)) for node in program.nodes if hasattr(node.meta.get("val"), "shape")]
    inputs_of = {node: _size(node.args[0]) for node in plan.model.nodes}
    built, each = 0, 0
    for part in plan.parts:
        if part.way == "products":
            positions = sum(_positions(site.node, site.kind) for site in part.sites)
            shape = shape_of(part.sites[0].node.args[1 if part.sites[0].kind != "lookup" else 0])
            width = math.prod(shape[1:]) if part.sites[0].kind == "convolution" else 0
            built = max(built, positions * width)
            each = max(each, 2 * sum(_size(site.node) for site in part.sites))
    return Numbers(
        2 * sum(nodes),
        sum(inputs_of.values()),
        sum(_size(node) for node in plan.model.nodes) + direct,
        3 * max(nodes, default=0),
        built,
        each,
    )


def tiling_of(numbers: Numbers, members: int, examples: int, others: int, outputs: int, room: int) -> Tiling:
    """The largest tiles of which as many numbers as there is room for are in memory at once.

    Raises:
        UsageError: one output of one example has more.
    """
    scratch = room // 4
    room -= scratch
    size, tile, some = members, max(examples, others), outputs

    def most() -> int:
        alone = examples == others and (tile, some) == (examples, outputs)
        return numbers.most(size, tile, some, alone=alone)

    size = max(1, min(members, min(room, _NEAR) // max(1, most() // size)))
    while most() > room:
        if tile > 1:
            tile = -(-tile // 2)
        elif some > 1:
            some = -(-some // 2)
        else:
            msg = (
                f"One output of one example needs {most() + scratch:,} numbers in memory besides the kernel, and the "
                f"memory budget has room for {room + scratch:,}; raise memory_budget."
            )
            raise UsageError(msg)
    return Tiling(size, tile, some, scratch)


def _size(node: Any) -> int:
    return math.prod(shape_of(node)) if isinstance(node, fx.Node) else 0


def _positions(node: fx.Node, kind: str) -> int:
    shape = shape_of(node)
    return math.prod((shape[0], *shape[2:]) if kind == "convolution" else shape[:-1])
