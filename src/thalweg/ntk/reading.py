"""From a module to the program of its kernel: every operation of the trace by the rule of its kind."""

import copy
import itertools
from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, ModelError
from thalweg.ntk.nodes import (
    affine,
    attention,
    branches,
    convolution,
    elementwise,
    lookup,
    movement,
    normalization,
    positions,
)
from thalweg.ntk.nodes import layout as lay
from thalweg.ntk.nodes.builder import MONTE_CARLO, Builder, Request, Rule, call
from thalweg.ntk.nodes.step import Step
from thalweg.ntk.nodes.symbols import Field, Raw, Symbol, Weight
from thalweg.ntk.variances import Moments, Parameterization
from thalweg.population.structure.aliases import overwritten
from thalweg.population.structure.operation import Operation
from thalweg.population.structure.tracing import Trace, traced

NARROW, DEEP = 64, 0.1  # channels, and the sum of 1 / channels, that are warned of
PROBE = 2  # examples that are traced; every value is then found for all examples
RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **affine.RULES,
    **convolution.RULES,
    **positions.RULES,
    **normalization.RULES,
    **branches.RULES,
    **movement.RULES,
    **lookup.RULES,
    **attention.RULES,
}
REMEDIES = {
    "max_pool": "Maxima over positions have no closed form; use average pooling.",
    "adaptive_max_pool": "Maxima over positions have no closed form; use average pooling.",
    "lstm": "Recurrent layers use their weights at every step; use a feed-forward layer.",
    "gru": "Recurrent layers use their weights at every step; use a feed-forward layer.",
    "rnn": "Recurrent layers use their weights at every step; use a feed-forward layer.",
    "_weight_norm": "Remove the parametrization.",
    "softmax": "Read the kernel of the logits: leave the softmax to the loss.",
    "log_softmax": "Read the kernel of the logits: leave it to the loss.",
    "glu": "Products of branches that share a layer are not followed; use an activation.",
    "chunk": "Parts of a layer's channels are not followed; give every part a layer of its own.",
    "split": "Parts of a layer's channels are not followed; give every part a layer of its own.",
    "prelu": "Its slope is learned; use leaky_relu with a fixed one.",
}


@dataclass(frozen=True, eq=False)
class Program:
    """What is done to second moments, one step after the other, and what of the data it reads.

    Args:
        steps: in order; only those that the output needs.
        full: of every step, whether pairs of different positions are needed.
        operations: of the trace, those on data alone.
        requests: raw values that steps read.
        inputs: names of the module's inputs.
        tensors: parameters, buffers and constants that the operations on data read.
        warnings: sentences.
    """

    steps: tuple[Step, ...]
    full: tuple[bool, ...]
    operations: tuple[Operation, ...]
    requests: dict[str, Request]
    inputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    warnings: tuple[str, ...]


def read(module: nn.Module, example: Tensor, moments: Moments, reading: Parameterization) -> Program:
    """The program of a module's kernel.

    Args:
        module: only read; its mode counts, as batch normalization and dropout differ in training.
        example: two examples of the input.

    Raises:
        DataError: the module cannot be called with the example.
        ModelError: a node cannot be followed; it is named with its line, the remedy and the way out.
    """
    try:
        trace = traced(module, example)
    except ModelError as error:
        _check_callable(module, example)
        msg = f"{error} {MONTE_CARLO}"
        raise ModelError(msg) from error
    live, operations = _live(trace), trace.operations
    if len(trace.outputs) != 1:
        msg = f"The module returns {len(trace.outputs)} tensors; the limit is read of one. Return one. {MONTE_CARLO}"
        raise ModelError(msg)
    calls = Counter(name for one in operations if one.name in live for name in one.parameters)
    builder = Builder(trace, module, moments, reading, dict(calls))
    tensors = _start(builder)
    stale = overwritten(operations)
    plain: list[Operation] = []
    for one in operations:
        if one.name not in live:
            continue
        if one.name in stale:
            raise builder.refusal(one, "it reads values that were overwritten in place", "Do not write in place.")
        builder.symbols[one.name] = found = _ruled(builder, one)
        if isinstance(found, Raw) and found.name == one.name:
            plain.append(one)
    _check_apart(moments)
    output = builder.symbols[trace.outputs[0]]
    steps, full, requests = _needed(builder, trace, output)
    assert isinstance(output, Field)
    hidden = [width for step, width in builder.widths.items() if step not in {root for root, _ in output.roots}]
    builder.warnings += narrow(hidden)
    return Program(
        steps, full, tuple(plain), requests, tuple(trace.inputs), tensors, tuple(dict.fromkeys(builder.warnings))
    )


def _check_callable(module: nn.Module, example: Tensor) -> None:
    """Raise DataError where it is the call that fails, and not its trace."""
    try:
        with torch.no_grad():
            copy.deepcopy(module).eval()(example)
    except Exception as error:
        shape = ", ".join(["examples", *map(str, example.shape[1:])])
        msg = (
            f"The module cannot be called with one tensor ({shape}) of {example.dtype}: {error}. The limit is read "
            f"of modules that take one tensor. Of several inputs: {MONTE_CARLO}"
        )
        raise DataError(msg) from error


def _check_apart(moments: Moments) -> None:
    """Refuse tensors that were drawn once and copied: they depend on each other, and the limit takes them as drawn."""
    tensors = dict(moments.module.named_parameters())
    names = [one.tensor for one in moments.found.values() if one.source != "given" and tensors[one.tensor].dim() > 1]
    for name, other in itertools.combinations(names, 2):
        if torch.equal(tensors[name], tensors[other]):
            msg = (
                f"The parameters {name!r} and {other!r} start with the same numbers, as copies do (copy.deepcopy, "
                "nn.TransformerEncoder): they depend on each other, and the limit is of layers that are drawn apart. "
                f"Draw one of them anew, or pass weight_std= of both to have them taken as drawn apart. {MONTE_CARLO}"
            )
            raise ModelError(msg)


def narrow(widths: list[int]) -> list[str]:
    """Sentences about hidden layers that are far from infinitely wide."""
    notes = []
    if widths and min(widths) < NARROW:
        notes.append(
            f"The narrowest hidden layer has {min(widths)} channels; the limit is that of many, {NARROW} or more."
        )
    if sum(1 / width for width in widths) > DEEP:
        notes.append(
            "The sum of 1 / width over hidden layers is above 0.1: single networks scatter far about the limit."
        )
    return notes


def _ruled(builder: Builder, operation: Operation) -> Symbol:
    rule = RULES.get(operation.kind)
    read_of = [builder.symbols.get(name) for name in operation.inputs]
    if all(isinstance(one, Raw) for one in read_of) and operation.kind not in (*movement.RULES, *lookup.RULES):
        return builder.plain(operation)
    if rule is None:
        name = next((key for key in REMEDIES if operation.kind.startswith(key)), "")
        remedy = REMEDIES.get(name, "Write it with layers, activations, sums, pooling, normalization and attention.")
        raise builder.refusal(operation, "this operation is not known", remedy)
    return rule(builder, operation)


def _start(builder: Builder) -> dict[str, Tensor]:
    """Symbols of inputs, parameters, buffers and constants; the tensors that operations on data may read."""
    trace, tensors = builder.trace, {}
    parameters = {trace.names[name] for name, _ in builder.module.named_parameters()}
    for name, shape in trace.inputs.items():
        if shape[:1] != (PROBE,):
            msg = f"The input {name!r} has shape {shape}; its first dimension must be that of the examples."
            raise ModelError(msg)
        factors = [lay.batch(PROBE), *(lay.position(axis + 1, size) for axis, size in enumerate(shape[1:]))]
        builder.symbols[name] = Raw(name, lay.of(*factors))
    for name, shape in {**trace.tensors, **trace.constants}.items():
        if name in parameters:
            builder.symbols[name] = Weight(name, shape)
        else:
            builder.symbols[name] = Raw(name, lay.of(*(lay.position(axis, size) for axis, size in enumerate(shape))))
        if name in trace.tensors:
            tensors[name] = builder.tensor(name)
    return tensors


def _live(trace: Trace) -> set[str]:
    """What the output is computed from."""
    live = set(trace.outputs)
    for one in reversed(trace.operations):
        if one.name in live:
            live |= set(one.inputs)
    return live


def _needed(
    builder: Builder, trace: Trace, output: Symbol
) -> tuple[tuple[Step, ...], tuple[bool, ...], dict[str, Request]]:
    """The steps that the output needs, counted anew, and which of them need pairs of different positions."""
    last = trace.operations[-1] if trace.operations else None
    producer = next((one for one in trace.operations if one.name == trace.outputs[0]), last)
    if not isinstance(output, Field):
        msg = f"The module's output does not depend on random parameters, so that it has no kernel. {MONTE_CARLO}"
        raise ModelError(msg)
    assert producer is not None
    if builder.positions(output):
        raise builder.refusal(
            producer, "the output still has positions", "Pool, take a mean over positions, or flatten into a layer."
        )
    needs: dict[int, bool] = {output.step: False}
    for number in range(output.step, -1, -1):
        if number in needs:
            step = builder.steps[number]
            for given, full in zip(step.inputs, step.needs(needs[number]), strict=True):
                wanted = full and bool(builder.steps[given].positions)
                needs[given] = needs.get(given, False) or wanted
    order = sorted(needs)
    new = {number: place for place, number in enumerate(order)}
    steps = []
    for number in order:
        step = builder.steps[number]
        steps.append(_renumbered(step, tuple(new[one] for one in step.inputs)))
    used = {step.raw for step in steps if hasattr(step, "raw")}
    requests = {name: one for name, one in builder.requested.items() if name in used}
    return tuple(steps), tuple(needs[number] for number in order), requests


def _renumbered(step: Step, inputs: tuple[int, ...]) -> Step:
    return replace(step, inputs=inputs)  # type: ignore[type-var]


def raw_values(program: Program, inputs: Tensor) -> dict[str, Tensor]:
    """What the steps read of the data: (examples, *positions, contracted), computed by the module's own operations."""
    if not program.requests:
        return {}
    count = len(inputs)
    if count % PROBE:
        inputs = torch.cat([inputs, inputs[-1:].expand(PROBE - count % PROBE, *inputs.shape[1:])])
    groups = inputs.reshape(-1, PROBE, *inputs.shape[1:])

    def evaluated(group: Tensor) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {**program.tensors, program.inputs[0]: group}
        for one in program.operations:
            values[one.name] = call(one, values)
        return {name: _arranged(request, values[request.raw.name]) for name, request in program.requests.items()}

    found = torch.func.vmap(evaluated)(groups)
    return {name: one.flatten(0, 1)[:count] for name, one in found.items()}


def _arranged(request: Request, values: Tensor) -> Tensor:
    """Examples first, then positions, then all that is contracted as one."""
    layout = request.raw.layout
    factors = [(place, factor) for place, one in enumerate(layout) for factor in one]
    values = values.reshape([factor.size for _, factor in factors])
    if not any(factor.kind == "batch" for _, factor in factors):  # the same for all examples
        factors = [(-1, lay.batch(PROBE)), *factors]
        values = values.expand(PROBE, *values.shape)
    first = [at for at, (_, factor) in enumerate(factors) if factor.kind == "batch"]
    last = [at for at, (place, _) in enumerate(factors) if place in request.contracted]
    middle = [at for at in range(len(factors)) if at not in first and at not in last]
    values = values.permute(*first, *middle, *last)
    if not request.contracted:
        return values
    return values.reshape(*values.shape[: len(first) + len(middle)], -1)
