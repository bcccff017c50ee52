"""Where a model uses its parameters: operations whose gradients are products of an input and a cotangent."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import fx

from thalweg.ntk.gram.program import Program, shape_of

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_SCALES = ("mul", "div")
_TURNS = ("t", "numpy_T")


@dataclass(frozen=True)
class Weight:
    """A tensor that is a parameter times a number, perhaps transposed."""

    name: str
    scale: float = 1.0
    turned: bool = False


@dataclass(frozen=True, eq=False)
class Site:
    """One use of a parameter whose gradient is a sum of products over positions.

    gradient[r, s] = scale sum_p cotangent[p, r] input[p, s]          ("linear", "convolution", "lookup")
    gradient[r]    = scale sum_p cotangent[p, r]                      ("bias")

    Args:
        kind: which of these. Of a lookup the rows are tokens: the input is 1 at the one that is read.
        node: the operation.
        scale: that of the weight.
        turned: whether the parameter is the transpose of this gradient.
    """

    kind: str
    node: fx.Node
    scale: float = 1.0
    turned: bool = False


def sites_of(program: Program, wanted: Collection[str]) -> dict[str, list[Site]]:
    """The uses of every wanted parameter of which all uses are of one kind; others are left out.

    A parameter that is used in another way as well (by an operation that is not listed, in groups of channels, turned
    in one place and not in another) is left out as a whole, so its gradient is to be taken by itself.

    Args:
        program: of the model.
        wanted: names of parameters.
    """
    weights: dict[fx.Node, Weight] = {node: Weight(name) for node, name in program.given.items() if name in wanted}
    found: dict[str, list[Site]] = {name: [] for name in wanted}
    refused: set[str] = set()
    for node in program.nodes:
        read = [one for one in node.all_input_nodes if one in weights]
        if not read:
            continue
        passed = _passed(node, weights)
        if passed is not None:
            weights[node] = passed
            continue
        for place, argument in enumerate(node.args):
            if isinstance(argument, fx.Node) and argument in weights:
                weight = weights[argument]
                site = _site(node, place, weight)
                if site is None:
                    refused.add(weight.name)
                else:
                    found[weight.name].append(site)
        placed = {argument for argument in node.args if isinstance(argument, fx.Node)}
        refused |= {weights[one].name for one in read if one not in placed}
    refused |= {weights[node].name for node in weights if _is_returned(program, node)}
    return {name: sites for name, sites in found.items() if name not in refused and _alike(sites)}


def kind_of(node: fx.Node) -> str:
    """Which operation: "linear", "mul", ..."""
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else schema.name.rpartition("::")[2]


def argument(node: fx.Node, place: int, otherwise: Any) -> Any:
    """An argument by its place, or its default."""
    return node.args[place] if len(node.args) > place else otherwise


def _passed(node: fx.Node, weights: dict[fx.Node, Weight]) -> Weight | None:
    """The weight that an operation on nothing but a weight and numbers makes of it."""
    kind, first = kind_of(node), node.args[0] if node.args else None
    if not isinstance(first, fx.Node) or first not in weights or len(node.all_input_nodes) != 1 or node.kwargs:
        return None
    weight = weights[first]
    if kind in _SCALES and isinstance(node.args[1], int | float):
        factor = float(node.args[1])
        return Weight(weight.name, weight.scale * (factor if kind == "mul" else 1 / factor), weight.turned)
    if len(shape_of(first)) == 2 and (
        kind in _TURNS
        or (kind == "transpose" and node.args[1] % 2 != node.args[2] % 2)  # type: ignore[operator]
        or (kind == "permute" and [one % 2 for one in node.args[1]] == [1, 0])  # type: ignore[union-attr]
    ):
        return Weight(weight.name, weight.scale, not weight.turned)
    return None


def _site(node: fx.Node, place: int, weight: Weight) -> Site | None:
    """What a weight at this place of an operation is; None where its gradient is no such sum."""
    kind, first = kind_of(node), node.args[0]
    shape = shape_of(node.args[place]) if isinstance(node.args[place], fx.Node) else ()
    if kind == "linear":
        if place == 2 or (place == 1 and len(shape) == 2):
            return Site("bias" if place == 2 else "linear", node, weight.scale, weight.turned)
    elif kind in CONVOLUTIONS:
        if place == 2:
            return Site("bias", node, weight.scale)
        plain = argument(node, 6, 1) == 1 and isinstance(argument(node, 4, 0), list | int)
        batched = isinstance(first, fx.Node) and len(shape_of(first)) == len(shape)
        if place == 1 and plain and batched:
            return Site("convolution", node, weight.scale)
    elif kind == "embedding":
        plain = not weight.turned and not (argument(node, 3, False) or argument(node, 4, False))
        return Site("lookup", node, weight.scale) if place == 0 and plain else None
    matrix = kind in ("matmul", "mm") and place == 1 and len(shape) == 2
    if matrix and isinstance(first, fx.Node) and len(shape_of(first)) > 1:
        return Site("linear", node, weight.scale, not weight.turned)
    return None


def _alike(sites: list[Site]) -> bool:
    return len({(site.kind, site.turned) for site in sites}) == 1


def _is_returned(program: Program, node: fx.Node) -> bool:
    found: list[fx.Node] = []
    fx.node.map_arg(program.outputs, lambda one: found.append(one))
    return node in found
