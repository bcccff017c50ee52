"""Multiply-adds of the three methods, counted before any is taken."""

import math
from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from thalweg.ntk.gram.counting import Block, by_factors, by_gradients
from thalweg.ntk.gram.parts import Part, Plan
from thalweg.ntk.gram.program import shape_of
from thalweg.population import Problem
from thalweg.population.attention import plain_attention
from thalweg.population.binding import call
from thalweg.population.copying import copied


def forward_count(problem: Problem, inputs: Any) -> int:
    """Of products of matrices and convolutions, in one pass of one example."""
    module = copied(problem.template).eval()
    with torch.no_grad(), plain_attention(), FlopCounterMode(display=False) as counter:
        call(module, tree_map(lambda leaf: leaf[:1], inputs))
    return counter.get_total_flops() // 2


def counts_of(plan: Plan, block: Block, forward: int, parameters: int, *, symmetric: bool) -> dict[str, int]:
    """Of every method, for one member.

    Args:
        plan: by layers.
        block: the whole kernel.
        forward: of one pass of one example.
        parameters: of a member.
        symmetric: whether the half of it is enough.
    """
    seen = block.examples if symmetric or block.form == "diagonal" else block.examples + block.others
    half = 2 if symmetric and block.form != "diagonal" else 1
    columns = block.examples if symmetric else block.others
    pairs = block.examples if block.form == "diagonal" else block.examples * columns // half
    contracted = sum(_contracted(part, plan, block) for part in plan.parts)
    direct = seen * block.outputs * forward if any(part.way == "gradients" for part in plan.parts) else 0
    return {
        "layers": seen * forward * (1 + block.outputs) + direct + contracted // half,
        "jacobian": seen * forward * (1 + 2 * block.outputs) + block.entries * parameters // half,
        "products": columns * block.other_outputs * 3 * forward + pairs * block.other_outputs * 2 * forward,
    }


def _contracted(part: Part, plan: Plan, block: Block) -> int:
    """What a part takes once its features are there."""
    size = plan.sizes[part.name]
    if part.way != "products":
        return block.entries * size
    positions, rows, columns = factors_of(part)
    factors = by_factors(block, positions, positions, rows, columns)
    return factors if part.sites[0].kind == "lookup" else min(factors, by_gradients(block, positions, rows, columns))


def factors_of(part: Part) -> tuple[int, int, int]:
    """Positions, rows and columns of a part's factors."""
    first = part.sites[0]
    if first.kind == "lookup":
        tokens, width = shape_of(first.node.args[0])
        return sum(math.prod(shape_of(site.node)[:-1]) for site in part.sites), width, tokens
    if first.kind == "convolution":
        rows, *others = shape_of(first.node.args[1])
        positions = sum(math.prod((shape_of(site.node)[0], *shape_of(site.node)[2:])) for site in part.sites)
        return positions, rows, math.prod(others)
    positions = sum(math.prod(shape_of(site.node)[:-1]) for site in part.sites)
    return positions, shape_of(first.node)[-1], shape_of(first.node.args[0])[-1]
