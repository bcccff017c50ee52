"""Rules of operations that move numbers without changing them: views, parts, what is put together."""

from itertools import accumulate

import torch

from thalweg.population.structure.axes import Axis, fixed, in_blocks
from thalweg.population.structure.dimensions import (
    Dimension,
    Dimensions,
    all_fixed,
    at,
    behind,
    depends,
    each,
    family,
    fix_all,
    free_axes,
    independent,
    inserted,
    moved,
    narrowed,
    renamed,
    reshaped,
    selected,
    size,
    split_at,
    without,
)
from thalweg.population.structure.flow import Flow, Rule, UnknownUseError
from thalweg.population.structure.operation import Operation, Value, kinds, values_in

VIEWS = kinds("flatten reshape reshape_as squeeze unflatten unsqueeze view view_as")
ORDERS = kinds("adjoint mH mT matrix_H movedim moveaxis numpy_T permute swapaxes swapdims t transpose")
SPLITS = kinds("chunk hsplit split split_with_sizes tensor_split vsplit")
POOLS = [
    *(f"{kind}_pool{count}d" for kind in ("adaptive_avg", "adaptive_max", "avg", "max") for count in (1, 2, 3)),
    *(f"max_pool{count}d_with_indices" for count in (1, 2, 3)),
]
UPSAMPLES = kinds(
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "upsample_bilinear2d upsample_bicubic2d upsample_linear1d upsample_trilinear3d"
)


def viewed(flow: Flow, operation: Operation) -> Dimensions:
    """The same numbers in the same order, in another shape."""
    return reshaped(flow.input(operation), operation.shape, str(operation))


def ordered(flow: Flow, operation: Operation) -> Dimensions:
    """The dimensions in another order, which torch itself tells of a tensor of sizes 2, 3, 4, ..."""
    dimensions = flow.input(operation)
    probe = torch.empty(tuple(range(2, 2 + len(dimensions))), device="meta")
    others = {name: value for name, value in operation.arguments.items() if name != "input"}
    shape = getattr(torch.ops.aten, operation.kind)(probe, **others).shape
    return moved(dimensions, [length - 2 for length in shape], str(operation))


def expanded(flow: Flow, operation: Operation) -> Dimensions:
    """The same at every index of new dimensions and of those of one index."""
    dimensions = flow.input(operation)
    while len(dimensions) < len(operation.shape):
        dimensions = inserted(dimensions, 0, Axis(1))
    out = list(dimensions)
    for place, length in enumerate(operation.shape):
        if size(dimensions[place]) != length:  # alike along it, for every index of the dimension before
            before = out[place - 1] if place and free_axes(out[place - 1 : place]) else Axis(1)
            out[place] = family(place - 1, [Axis(length) for _ in range(size(before))])
    return tuple(out)


def repeated(flow: Flow, operation: Operation) -> Dimensions:
    """All several times one behind the other."""
    times = operation.arguments.get("repeats", operation.arguments.get("dims"))
    dimensions = flow.input(operation)
    while len(dimensions) < len(times):
        dimensions = inserted(dimensions, 0, Axis(1))
    times = [1] * (len(dimensions) - len(times)) + list(times)
    whole = independent(dimensions, [place for place, count in enumerate(times) if count > 1], str(operation))

    def several(dimension: Dimension, count: int) -> Dimension:
        return each(lambda axis: in_blocks(Axis(count), [axis] * count), dimension) if count > 1 else dimension

    return tuple(map(several, whole, times))


def interleaved(flow: Flow, operation: Operation) -> Dimensions:
    """Every index several times, one beside the other."""
    count, place = operation.arguments.get("repeats"), operation.arguments.get("dim")
    if place is None or not isinstance(count, int):
        raise UnknownUseError
    times = range(count)
    dimensions = flow.input(operation)
    place %= len(dimensions)

    def several(dimension: Dimension) -> Dimension:
        if not depends(dimension, place):
            return dimension
        members = [at(dimension, place, index) for index in range(size(dimensions[place]))]
        return family(place, [member for member in members for _ in times])

    repeats = each(lambda axis: in_blocks(axis, [Axis(count) for _ in range(axis.size)]), dimensions[place])
    return tuple(repeats if p == place else several(one) for p, one in enumerate(dimensions))


def joined_parts(flow: Flow, operation: Operation) -> Dimensions:
    """Tensors one behind the other along a dimension."""
    names = [name for name in operation.inputs if len(flow.values[name][0]) == len(operation.shape)]
    count = len(operation.shape)
    place = operation.arguments.get("dim", 0) % count
    letters = [tuple(("part", i) if p == place else p for p in range(count)) for i in range(len(names))]
    parts = [("part", i) for i in range(len(names))]
    others = [p for p in range(count) if p != place]
    found = flow.unified(operation, list(zip(names, letters, strict=True)), (*others, *parts))
    keep = {p: p for p in others}
    one = renamed(behind([found[part] for part in parts]), keep, str(operation))
    return tuple(one if p == place else renamed(found[p], keep, str(operation)) for p in range(count))


def stacked(flow: Flow, operation: Operation) -> Dimensions:
    """Tensors beside each other along a new dimension, which tells them apart."""
    names, reason = operation.inputs, f"{operation}, which puts different tensors beside each other"
    place = operation.arguments.get("dim", 0) % len(operation.shape)
    layers = [inserted(flow.values[name][0], place, Axis(1)) for name in names]
    new = fixed(len(names), reason)
    return tuple(
        new if p == place else family(place, [layer[p] for layer in layers]) for p in range(len(operation.shape))
    )


def divided(flow: Flow, operation: Operation) -> list[Dimensions]:
    """Consecutive parts along a dimension."""
    dimensions = flow.input(operation)
    along = int(operation.kind == "hsplit" and len(dimensions) > 1)
    place = operation.arguments.get("dim", along) % len(dimensions)
    stops = list(accumulate(shape[place] for shape in operation.shapes))
    starts = [0, *stops[:-1]]
    return [
        narrowed(dimensions, place, tuple(range(*ends)), str(operation)) for ends in zip(starts, stops, strict=True)
    ]


def sliced(flow: Flow, operation: Operation) -> Dimensions:
    """Some indices along a dimension: from a start to an end, by a step."""
    dimensions, arguments = flow.input(operation), operation.arguments
    place = arguments.get("dim", 0) % len(dimensions)
    start = arguments.get("start")
    end = start + arguments["length"] if operation.kind == "narrow" else arguments.get("end")
    indices = range(size(dimensions[place]))[slice(start, end, arguments.get("step", 1))]
    return narrowed(dimensions, place, tuple(indices), str(operation))


def picked(flow: Flow, operation: Operation) -> Dimensions:
    """All at one index along a dimension."""
    dimensions = flow.input(operation)
    place = operation.arguments["dim"] % len(dimensions)
    return selected(dimensions, place, operation.arguments["index"] % size(dimensions[place]), str(operation))


def unbound(flow: Flow, operation: Operation) -> list[Dimensions]:
    """All at every index along a dimension."""
    dimensions = flow.input(operation)
    place = operation.arguments.get("dim", 0) % len(dimensions)
    return [selected(dimensions, place, index, str(operation)) for index in range(size(dimensions[place]))]


def item(flow: Flow, operation: Operation) -> Dimensions:
    """One of the tensors that another operation gave."""
    return flow.values[operation.arguments["input"]][operation.arguments["index"]]


def looked_up(flow: Flow, operation: Operation) -> Dimensions:
    """x[..., indices, ...] with tensors of indices for neighboring dimensions, which are told apart by that."""
    dimensions = flow.input(operation)
    indices = operation.arguments["indices"] if operation.kind == "index" else None
    if indices is None:
        indices = [None] * (operation.arguments["dim"] % len(dimensions)) + [operation.arguments["index"]]
    reason = f"{operation}, which looks indices up by their number"
    places = [place for place, index in enumerate(indices) if isinstance(index, Value)]
    read = [flow.values[name][0] for name in values_in(indices)]
    new = len(operation.shape) - len(dimensions) + len(places)
    if places != list(range(places[0], places[0] + len(places))) or new != max(map(len, read)):
        raise UnknownUseError
    for one in (*read, [dimensions[place] for place in places]):
        fix_all(one, reason)
    rest = [place for place in range(len(dimensions)) if place not in places]
    out = moved(without(dimensions, places, reason), rest, reason)
    for place, length in enumerate(operation.shape[places[0] : places[0] + new], start=places[0]):
        out = inserted(out, place, fixed(length, reason))
    return out


def gathered(flow: Flow, operation: Operation) -> Dimensions:
    """Numbers looked up along a dimension; along the others those of the same index."""
    dimensions, name = flow.input(operation), operation.arguments["index"]
    count, place = len(dimensions), operation.arguments["dim"] % len(dimensions)
    reason = f"{operation}, which looks indices up by their number"
    apart = [p for p in range(count) if p == place or operation.shape[p] != size(dimensions[p])]
    fix_all((*(dimensions[p] for p in apart), *(flow.values[name][0][p] for p in apart)), reason)
    letters = [tuple((which, p) if p in apart else p for p in range(count)) for which in ("x", "index")]
    found = flow.unified(
        operation,
        [(operation.inputs[0], letters[0]), (name, letters[1])],
        [p for p in range(count) if p not in apart],
    )
    keep = {p: p for p in range(count) if p not in apart}
    return tuple(
        fixed(operation.shape[p], reason) if p in apart else renamed(found[p], keep, reason) for p in range(count)
    )


def pooled(flow: Flow, operation: Operation) -> list[Dimensions]:
    """Something of nearby positions, which are told apart, for every channel alone."""
    dimensions, reason = flow.input(operation), f"{operation}, which tells positions apart"
    count = int(next(letter for letter in operation.kind if letter in "123"))
    fix_all(dimensions[-count:], reason)
    kept = without(dimensions, range(len(dimensions) - count, len(dimensions)), reason)[:-count]
    return [(*kept, *all_fixed(shape[-count:], reason)) for shape in operation.shapes]


def padded(flow: Flow, operation: Operation) -> Dimensions:
    """Further indices at both ends of the last dimensions; with one number, which are alike."""
    dimensions, reason = flow.input(operation), str(operation)
    widths = operation.arguments["pad"]
    uniform = operation.arguments.get("mode", "constant") == "constant"
    if min(widths) < 0:
        raise UnknownUseError
    pairs = [(len(dimensions) - 1 - number, *widths[2 * number : 2 * number + 2]) for number in range(len(widths) // 2)]
    out = list(independent(dimensions, [place for place, *ends in pairs if any(ends)], reason))
    for place, before, after in pairs:
        if before or after:
            if not uniform:
                fix_all((out[place],), f"{reason}, which tells positions apart")
            new = [Axis(n) if uniform else fixed(n, reason) for n in (before, after)]
            ends = [[one] if length else [] for one, length in zip(new, (before, after), strict=True)]
            out[place] = behind([*ends[0], out[place], *ends[1]])
    return tuple(out)


def shuffled(flow: Flow, operation: Operation) -> Dimensions:
    """`pixel_shuffle`: channels that become positions."""
    dimensions, reason = flow.input(operation), f"{operation}, which tells positions apart"
    place = len(dimensions) - 3
    parts = split_at(dimensions, place, operation.shape[place], reason)
    fix_all(parts[place + 1 :], reason)
    kept = without(parts, range(place + 1, len(parts)), reason)[: place + 1]
    return (*kept, *all_fixed(operation.shape[-2:], reason))


def in_pairs(flow: Flow, operation: Operation) -> Dimensions:
    """`view_as_complex` and `view_as_real`: real and imaginary parts, which are told apart."""
    dimensions, reason = flow.input(operation), f"{operation}, which tells real and imaginary parts apart"
    if operation.kind == "view_as_real":
        return (*dimensions, fixed(2, reason))
    fix_all(dimensions[-1:], reason)
    return without(dimensions, (len(dimensions) - 1,), reason)[:-1]


RULES: dict[str, Rule] = {
    **dict.fromkeys(VIEWS, viewed),
    **dict.fromkeys(ORDERS, ordered),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expanded),
    **dict.fromkeys(("repeat", "tile"), repeated),
    **dict.fromkeys(("cat", "concat", "concatenate"), joined_parts),
    **dict.fromkeys(SPLITS, divided),
    **dict.fromkeys(("slice", "narrow"), sliced),
    **dict.fromkeys(("index", "index_select"), looked_up),
    **dict.fromkeys((*POOLS, *UPSAMPLES), pooled),
    "pad": padded,
    "repeat_interleave": interleaved,
    "stack": stacked,
    "select": picked,
    "unbind": unbound,
    "getitem": item,
    "gather": gathered,
    "pixel_shuffle": shuffled,
    **dict.fromkeys(("view_as_complex", "view_as_real"), in_pairs),
}
