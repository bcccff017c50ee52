"""Rules of operations that treat all indices alike: elementwise, sums, softmax, normalization."""

from thalweg.population.structure.axes import Axis, fixed
from thalweg.population.structure.dimensions import (
    Dimensions,
    all_fixed,
    all_free,
    fix_all,
    joined,
    moved,
    split_at,
    without,
)
from thalweg.population.structure.flow import Flow, Rule, UnknownUseError, broadcast
from thalweg.population.structure.operation import Operation, kinds

ELEMENTWISE = kinds(
    "abs acos add addcdiv addcmul asin atan atan2 bitwise_and bitwise_not bitwise_or celu ceil clamp clamp_max "
    "clamp_min copy cos cosh div elu eq erf erfc exp exp2 expm1 fill floor floor_divide fmod frac ge gelu gt "
    "hardshrink hardsigmoid hardswish hardtanh heaviside isfinite isinf isnan le leaky_relu lerp log log10 log1p "
    "log2 log_sigmoid logical_and logical_not logical_or logical_xor logit lt masked_fill maximum minimum mish mul "
    "nan_to_num ne neg pow reciprocal relu relu6 remainder round rrelu rsqrt rsub selu sgn sigmoid sign silu sin "
    "sinh softplus softshrink sqrt square sub tan tanh threshold true_divide trunc where xlogy "
    "zero multiply divide subtract"
)
ALONE = kinds(
    "alias alpha_dropout clone contiguous detach dropout feature_dropout feature_alpha_dropout "
    "lift_fresh_copy to type_as"
)
UNIFORM = kinds(
    "empty empty_like full full_like new_empty new_full new_ones new_zeros ones ones_like scalar_tensor zeros "
    "zeros_like"
)
SUMS = kinds(
    "all amax amin any count_nonzero linalg_norm linalg_vector_norm logsumexp mean nanmean nansum norm prod std sum var"
)
SOFTMAX = kinds("log_softmax softmax")
APART = kinds(
    "argmax argmin argsort cummax cummin cumprod cumsum diff flip kthvalue logcumsumexp median mode roll sort topk"
)


def elementwise(flow: Flow, operation: Operation) -> Dimensions:
    """What is done for every element alone."""
    return broadcast(flow, operation, operation.inputs)


def alone(flow: Flow, operation: Operation) -> Dimensions:
    """The same for the first argument, the others having no say."""
    return broadcast(flow, operation, operation.inputs[:1])


def uniform(_: Flow, operation: Operation) -> Dimensions:
    """One number everywhere."""
    return all_free(operation.shape)


def places(operation: Operation, count: int, argument: str = "dim") -> list[int]:
    """The dimensions that an argument names; all where it names none."""
    named = operation.arguments.get(argument, operation.arguments.get("dims"))
    named = [named] if isinstance(named, int) else named
    return [place % count for place in named] if named else list(range(count))


def summed(flow: Flow, operation: Operation) -> Dimensions:
    """One number of all along some dimensions, in which their order does not matter."""
    dimensions = flow.input(operation)
    gone = places(operation, len(dimensions))
    rest = [place for place in range(len(dimensions)) if place not in gone]
    out = moved(without(dimensions, gone, str(operation)), rest, str(operation))
    if len(operation.shape) == len(out):
        return out
    whole = without(dimensions, gone, str(operation))
    return tuple(Axis(1) if place in gone else one for place, one in enumerate(whole))


def normalized(flow: Flow, operation: Operation) -> Dimensions:
    """Divided by something of all along a dimension."""
    dimensions = flow.input(operation)
    flow.tags.softmax(operation)
    return without(dimensions, places(operation, len(dimensions)), str(operation))


def apart(flow: Flow, operation: Operation) -> list[Dimensions]:
    """What depends on the order along some dimensions."""
    dimensions, reason = flow.input(operation), f"{operation}, for which the order of indices matters"
    gone = places(operation, len(dimensions))
    fix_all((dimensions[place] for place in gone), reason)
    whole = without(dimensions, gone, reason)
    given = []
    for shape in operation.shapes:
        if len(shape) == len(whole):
            given.append(tuple(fixed(shape[p], reason) if p in gone else d for p, d in enumerate(whole)))
        elif len(shape) == len(whole) - len(gone):
            given.append(moved(whole, [place for place in range(len(whole)) if place not in gone], reason))
        else:
            raise UnknownUseError
    return given


def extreme(flow: Flow, operation: Operation) -> Dimensions | list[Dimensions]:
    """`max` and `min`: of two tensors, of all numbers, or along a dimension and where."""
    if "other" in operation.arguments:
        return elementwise(flow, operation)
    return apart(flow, operation) if "dim" in operation.arguments else summed(flow, operation)


def triangle(flow: Flow, operation: Operation) -> Dimensions:
    """`tril` and `triu`, which tell rows and columns apart."""
    dimensions = flow.input(operation)
    fix_all(dimensions[-2:], str(operation))
    return without(dimensions, (len(dimensions) - 2, len(dimensions) - 1), str(operation))


def layer_norm(flow: Flow, operation: Operation) -> Dimensions:
    """Normalization over the last dimensions, of which `weight` and `bias` have one number each."""
    dimensions = flow.input(operation)
    count = len(dimensions)
    last = range(count - len(operation.arguments["normalized_shape"]), count)
    affine = [(operation.arguments[name], last) for name in ("weight", "bias") if flow.of(operation, name) is not None]
    out = flow.contract(operation, [(operation.inputs[0], range(count)), *affine], range(count))
    return without(out, last, str(operation))


def channels(flow: Flow, operation: Operation) -> Dimensions:
    """What has one number a channel: batch and instance normalization, `prelu`."""
    count = len(flow.input(operation))
    named = operation.inputs[1:]
    if operation.kind == "prelu" and len(flow.input(operation)) < 2:
        raise UnknownUseError
    operands = [(name, (1,)) for name in named]
    out = flow.contract(operation, [(operation.inputs[0], range(count)), *operands], range(count))
    return without(out, range(2, count) if operation.kind == "instance_norm" else (), str(operation))


def batch_norm(flow: Flow, operation: Operation) -> Dimensions | list[Dimensions]:
    """By running statistics; where those of the batch are taken, a channel is still treated alone."""
    out = channels(flow, operation)
    return [out, *(all_fixed(shape, str(operation)) for shape in operation.shapes[1:])]


def group_norm(flow: Flow, operation: Operation) -> Dimensions:
    """Normalization within groups of channels: exchanged within groups, and groups as wholes."""
    dimensions, reason = flow.input(operation), str(operation)
    groups = split_at(dimensions, 1, operation.arguments["num_groups"], reason)
    out = joined(without(groups, range(2, len(groups)), reason), 1, reason)
    for name in ("weight", "bias"):
        flow.add_bias(operation, name, out[1])
    return out


def glu(flow: Flow, operation: Operation) -> Dimensions:
    """The first half times the sigmoid of the second."""
    dimensions = flow.input(operation)
    place = operation.arguments.get("dim", -1) % len(dimensions)
    halves = split_at(dimensions, place, 2, str(operation))
    fix_all(halves[place : place + 1], str(operation))
    out = without(halves, (place,), str(operation))
    return moved(out, [old for old in range(len(out)) if old != place], str(operation))


def weight_norm(flow: Flow, operation: Operation) -> Dimensions:
    """g v / |v|, with a norm for every index of one dimension."""
    out, place = elementwise(flow, operation), operation.arguments.get("dim", 0)
    return without(out, [other for other in range(len(out)) if other != place], str(operation))


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(ALONE, alone),
    **dict.fromkeys(UNIFORM, uniform),
    **dict.fromkeys(SUMS, summed),
    **dict.fromkeys(SOFTMAX, normalized),
    **dict.fromkeys(APART, apart),
    **dict.fromkeys(("max", "min"), extreme),
    **dict.fromkeys(("tril", "triu"), triangle),
    **dict.fromkeys(("layer_norm", "rms_norm"), layer_norm),
    **dict.fromkeys(("instance_norm", "prelu"), channels),
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "glu": glu,
    "_weight_norm": weight_norm,
}
