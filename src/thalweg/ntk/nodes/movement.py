"""Views, orders of dimensions, parts: what moves numbers without changing them."""

from dataclasses import replace

from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.builder import Builder, Rule
from thalweg.ntk.nodes.positions import picked
from thalweg.ntk.nodes.symbols import Field, Raw, Scores, Symbol, Weight
from thalweg.population.structure.operation import Operation, kinds
from thalweg.population.structure.shapes import ORDERS, VIEWS

SAME = kinds("alias clone contiguous detach identity to type_as lift lift_fresh_copy _to_copy")
DROPOUTS = kinds("dropout feature_dropout alpha_dropout feature_alpha_dropout")


def same(builder: Builder, operation: Operation) -> Symbol:
    """As it is."""
    return builder.symbol(operation)


def dropout(builder: Builder, operation: Operation) -> Symbol:
    """As it is, in evaluation mode."""
    module = builder.module.get_submodule(operation.module)
    if module.training and operation.arguments.get("p", 0.5) > 0:
        raise builder.refusal(operation, "dropout in training mode is random", "Call module.eval().")
    return builder.symbol(operation)


def view(builder: Builder, operation: Operation) -> Symbol:
    """Another shape."""
    value = builder.symbol(operation)
    if isinstance(value, Weight):
        raise builder.refusal(operation, "a parameter is reshaped before it is used", "Use it in its own shape.")
    layout = lay.reshaped(value.layout, operation.shape)
    if layout is None:
        raise builder.refusal(
            operation,
            "its new dimensions cut channels, positions or examples into uneven parts",
            "Reshape the data before the first layer.",
        )
    return _in(operation, value, layout)


def order(builder: Builder, operation: Operation) -> Symbol:
    """Another order of dimensions."""
    value = builder.symbol(operation)
    if isinstance(value, Weight):
        if len(value.shape) == 2:
            return Weight(value.name, value.shape[::-1], value.scale)
        raise builder.refusal(operation, "the dimensions of a parameter are reordered", "Use nn.Linear.")
    return _in(operation, value, lay.permuted(value.layout, operation))


def select(builder: Builder, operation: Operation) -> Symbol:
    """One index along a dimension."""
    value = builder.symbol(operation)
    if not isinstance(value, Field):
        return builder.plain(operation)
    place = operation.arguments.get("dim", 0) % len(value.layout)
    index = operation.arguments["index"]
    dimension = value.layout[place]
    rest = (*value.layout[:place], *value.layout[place + 1 :])
    if not dimension:
        return value.with_layout(rest)
    if len(dimension) > 1 or dimension[0].kind == "batch":
        raise builder.refusal(operation, "it picks one example", "Every example must be computed by itself.")
    if dimension[0].kind == "position":
        if dimension[0].path:
            raise builder.refusal(operation, "it picks a part of an axis of positions", "Reshape the data instead.")
        return picked(builder, value, place, [index % dimension[0].size], keep=False)
    return _part(value, rest, (dimension[0].path, index % dimension[0].size))


def _part(value: Field, layout: lay.Layout, part: tuple[object, object]) -> Field:
    """Some channels of a field, which are independent of the others."""
    roots = frozenset((step, (*parts, part)) for step, parts in value.roots)
    pre = value.pre
    return Field(value.step, layout, value.gaussian, pre, roots, value.function)


def _in(operation: Operation, value: Raw | Field | Scores, layout: lay.Layout) -> Symbol:
    if isinstance(value, Field):
        return value.with_layout(layout)
    if isinstance(value, Scores):
        return replace(value, layout=layout)
    return Raw(operation.name, layout, value.gradients)


RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, same),
    **dict.fromkeys(DROPOUTS, dropout),
    **dict.fromkeys(VIEWS, view),
    **dict.fromkeys(ORDERS, order),
    "select": select,
}
