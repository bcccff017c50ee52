"""Rules of operations that mix units: products of matrices, convolutions, attention, embeddings."""

from thalweg.population.structure.axes import Axis
from thalweg.population.structure.dimensions import (
    Dimension,
    Dimensions,
    all_fixed,
    family,
    fix_all,
    inserted,
    joined,
    renamed,
    size,
    split_at,
    without,
)
from thalweg.population.structure.flow import Flow, Rule, UnknownUseError
from thalweg.population.structure.operation import Operation


def linear(flow: Flow, operation: Operation) -> Dimensions:
    """x W^T + b."""
    arguments = operation.arguments
    batch = range(len(flow.input(operation)) - 1)
    out = ("out",) if len(flow.of(operation, "weight") or ()) == 2 else ()
    operands = [(arguments["input"], (*batch, "in")), (arguments["weight"], (*out, "in"))]
    bias = [(arguments["bias"], out)] if flow.of(operation, "bias") is not None else []
    return flow.contract(operation, [*operands, *bias], (*batch, *out))


def product(flow: Flow, operation: Operation) -> Dimensions:
    """Products of matrices, vectors and batches of them, plus something elementwise in `addmm` and its like."""
    one, other = operation.inputs[-2:]
    first, second = len(flow.values[one][0]), len(flow.values[other][0])
    batch = range(-max(first, second) + 2, 0)
    row, column = ("row",) * (first > 1), ("column",) * (second > 1)
    out = (*batch, *row, *column)
    operands = [
        (one, (*batch[len(batch) - max(first - 2, 0) :], *row, "summed")),
        (other, (*batch[len(batch) - max(second - 2, 0) :], "summed", *column)),
    ]
    if operation.kind.startswith("add") or operation.kind == "baddbmm":
        added = operation.inputs[0]
        operands.append((added, out[len(out) - len(flow.values[added][0]) :]))
    return flow.contract(operation, operands, out)


def outer(flow: Flow, operation: Operation) -> Dimensions:
    """Every number of one vector times every one of another."""
    one, other = operation.inputs
    return flow.contract(operation, [(one, (0,)), (other, (1,))], (0, 1))


def einsum(flow: Flow, operation: Operation) -> Dimensions:
    """Sums of products, by letters."""
    left, arrow, right = operation.arguments["equation"].replace(" ", "").partition("->")
    terms, operands = left.split(","), []
    for term, name in zip(terms, operation.inputs, strict=True):
        before, dots, after = term.partition("...")
        count = len(flow.values[name][0]) - len(before) - len(after)
        letters = (*before, *(range(-count, 0) if dots else ()), *after)
        if len(set(letters)) < len(letters):
            raise UnknownUseError  # a diagonal
        operands.append((name, letters))
    found = [letter for _, letters in operands for letter in letters]
    if not arrow:
        right = "..." * ("..." in left) + "".join(
            sorted(str(one) for one in set(found) if isinstance(one, str) and found.count(one) == 1)
        )
    before, dots, after = right.partition("...")
    batch = sorted({letter for letter in found if isinstance(letter, int)}) if dots else []
    return flow.contract(operation, operands, (*before, *batch, *after))


def tensordot(flow: Flow, operation: Operation) -> Dimensions:
    """Sums over pairs of dimensions."""
    (one, other), pairs = operation.inputs, (operation.arguments["dims_self"], operation.arguments["dims_other"])
    letters = []
    for which, (name, summed) in enumerate(zip((one, other), pairs, strict=True)):
        count = len(flow.values[name][0])
        places = [place % count for place in summed]
        letters.append([places.index(p) if p in places else (which, p) for p in range(count)])
    out = [letter for own in letters for letter in own if isinstance(letter, tuple)]
    return flow.contract(operation, [(one, letters[0]), (other, letters[1])], out)


def bilinear(flow: Flow, operation: Operation) -> Dimensions:
    """x W y + b for every output."""
    arguments = operation.arguments
    batch = range(len(flow.input(operation)) - 1)
    operands = [
        (arguments["input1"], (*batch, "in1")),
        (arguments["input2"], (*batch, "in2")),
        (arguments["weight"], ("out", "in1", "in2")),
    ]
    bias = [(arguments["bias"], ("out",))] if flow.of(operation, "bias") is not None else []
    return flow.contract(operation, [*operands, *bias], (*batch, "out"))


def convolution(flow: Flow, operation: Operation) -> Dimensions:
    """Sums over the channels of a group and nearby positions, which are told apart."""
    arguments, reason = operation.arguments, f"{operation}, which tells positions apart"
    x, weight = flow.input(operation), flow.values[arguments["weight"]][0]
    place = len(x) - len(weight) + 1  # of the channels
    fix_all((*x[place + 1 :], *weight[2:]), reason)
    groups = arguments.get("groups", 1)
    channels = _in_groups(without(x, range(place + 1, len(x)), reason), place, groups, reason)
    filters = _in_groups(weight, 0, groups, reason)
    if groups > 1 and size(filters[2]) > 1 and flow.uses[arguments["weight"]] == 1:
        filters = (*filters[:2], _of_each_group(flow, arguments["weight"], filters, groups), *filters[3:])
    transposed = "transpose" in operation.kind
    batch, kernel = tuple(range(place)), [("kernel", i) for i in range(len(weight) - 2)]
    positions = [("position", i) for i in range(len(x) - place - 1)]
    operands = [
        (arguments["input"], (*batch, "group", "in", *positions), channels),
        (arguments["weight"], ("group", *(("in", "out") if transposed else ("out", "in")), *kernel), filters),
    ]
    out = joined(flow.contract(operation, operands, (*batch, "group", "out")), place, reason)
    flow.add_bias(operation, "bias", out[place])
    return (*out, *all_fixed(operation.shape[place + 1 :], reason))


def _in_groups(dimensions: Dimensions, place: int, groups: int, reason: str) -> Dimensions:
    """Channels as groups of channels."""
    return inserted(dimensions, place, Axis(1)) if groups == 1 else split_at(dimensions, place, groups, reason)


def _of_each_group(flow: Flow, name: str, filters: Dimensions, groups: int) -> Dimension:
    """The second dimension of a grouped convolution's weight, whose indices are other channels in every group."""
    if name not in flow.tensors:
        return filters[2]
    rows = flow.tensors[name][0]
    length = size(rows) // groups
    own = [Axis(size(filters[2])) for _ in range(groups)]
    for group, axis in enumerate(own):
        flow.rows[name, 1, tuple(range(group * length, (group + 1) * length))] = axis
    return family(0, own)


def attention(flow: Flow, operation: Operation) -> Dimensions:
    """softmax(Q K^T + mask) V, alike for all that stands before the last two dimensions."""
    names, reason = operation.arguments, str(operation)
    q, k, v = (flow.values[names[name]][0] for name in ("query", "key", "value"))
    mask = flow.of(operation, "attn_mask")
    if size(k[-2]) != size(v[-2]):
        raise UnknownUseError  # which torch does not forbid
    if names.get("is_causal", False):
        fix_all((q[-2], k[-2]), f"{reason}, whose positions see those before them")
    count, grouped = len(q), bool(names.get("enable_gqa", False)) and size(q[-3]) != size(k[-3])
    if grouped:
        q = split_at(q, count - 3, size(k[-3]), reason)
        k, v = (inserted(one, count - 2, Axis(1)) for one in (k, v))
        mask = None if mask is None else inserted(mask, max(len(mask) - 2, 0), Axis(1))
        count += 1
    batch = tuple(range(count - 2))
    operands = [
        (names["query"], (*batch, "row", "summed"), q),
        (names["key"], (*batch[count - len(k) :], "column", "summed"), k),
    ]
    if mask is not None:
        operands.append((names["attn_mask"], (*batch[count - len(mask) :], "row", "column"), mask))
    scores = flow.contract(operation, operands, (*batch, "row", "column"))
    scores = without(scores, (count - 1,), reason)
    flow.tags.softmax(operation)
    weights = [(operation.name, (*batch, "row", "column"), scores), (names["value"], (*batch, "column", "value"), v)]
    out = flow.contract(operation, weights, (*batch, "row", "value"))
    return joined(out, count - 4, reason) if grouped else out


def embedding(flow: Flow, operation: Operation) -> Dimensions:
    """The rows of a matrix that indices choose, which are told apart by that."""
    name, reason = operation.arguments["weight"], f"{operation}, which looks rows up by their number"
    rows, columns = flow.values[name][0]
    fix_all((rows,), reason)
    indices = flow.values[operation.arguments["indices"]][0]
    fix_all(indices, reason)
    flow.keep(name, columns)
    return (*indices, renamed(columns, {}, reason))


CONVOLUTIONS = tuple(f"conv{kind}{count}d" for kind in ("", "_transpose") for count in (1, 2, 3))
RULES: dict[str, Rule] = {
    "linear": linear,
    **dict.fromkeys(("addmm", "addmv", "baddbmm", "bmm", "dot", "matmul", "mm", "mv", "vdot"), product),
    **dict.fromkeys(("outer", "ger"), outer),
    **dict.fromkeys(CONVOLUTIONS, convolution),
    "einsum": einsum,
    "bilinear": bilinear,
    "tensordot": tensordot,
    "scaled_dot_product_attention": attention,
    "embedding": embedding,
}
