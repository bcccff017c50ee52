"""What kernels are contracted from: inputs and cotangents of operations, and gradients, of every member and example."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, vjp
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.ntk.gram.program import Program, as_batch, shape_of, values_of
from thalweg.ntk.gram.sites import Site
from thalweg.population import Population, Problem
from thalweg.population.binding import call
from thalweg.population.padding import Padding
from thalweg.population.stacked import plain_attention

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Features:
    """Of some members and examples, with dimensions (members, examples, ...) in front.

    Args:
        inputs: of every operation at which a parameter is used: a batch of one.
        cotangents: of its output, (members, examples, outputs, ...): the gradients of every output with respect to it.
        gradients: of every output with respect to parameters, (members, examples, outputs, ...).
    """

    inputs: Mapping[str, Tensor]
    cotangents: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Model:
    """The outputs of a problem's model on one example, as a function of parameters and of changes at its operations.

    Args:
        problem: whose model it is, in evaluation mode.
        program: its operations; None where they are not needed: the model is called as it is.
        sites: uses of parameters at which inputs and cotangents are wanted.
        direct: parameters of which the gradients themselves are wanted.
    """

    problem: Problem
    program: Program | None
    sites: Mapping[str, Sequence[Site]]
    direct: tuple[str, ...]
    module: nn.Module = field(init=False)
    nodes: tuple[fx.Node, ...] = field(init=False)
    running: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", copy.deepcopy(self.problem.template).eval())
        nodes = dict.fromkeys(site.node for sites in self.sites.values() for site in sites)
        object.__setattr__(self, "nodes", tuple(nodes))
        object.__setattr__(self, "running", tuple(name for name, _ in self.module.named_buffers()))

    def features(self, population: Population, inputs: Any, cotangents: Tensor) -> Features:
        """Those of all members, of examples (examples, ...), along cotangents (some, outputs) of the outputs."""
        return Features(*_mapped(self._row, population, inputs, (cotangents,)))

    def outputs(self, population: Population, inputs: Any) -> Tensor:
        """(members, examples, outputs)."""

        def row(parameters: Tensors, buffers: Tensors, example: Any) -> Tensor:
            return self._values({**parameters, **buffers}, example, {}, {})

        return _mapped(row, population, inputs, ())

    def _row(
        self, parameters: Tensors, buffers: Tensors, example: Any, cotangents: Tensor
    ) -> tuple[Tensors, Tensors, Tensors]:
        like = cotangents
        changes = {node.name: like.new_zeros(shape_of(node)) for node in self.nodes}
        direct = {name: parameters[name] for name in self.direct}

        def values(changes: Tensors, direct: Tensors) -> tuple[Tensor, Tensors]:
            seen: Tensors = {}
            return self._values({**parameters, **buffers, **direct}, example, changes, seen), seen

        _, pull, seen = vjp(values, changes, direct, has_aux=True)
        return seen, *_each(pull, cotangents)

    def _values(self, tensors: Tensors, example: Any, changes: Tensors, seen: Tensors) -> Tensor:
        """All outputs for one example as a vector; `seen` is given the inputs of operations that are changed."""
        tensors = tensors | {name: tensors[name].clone() for name in self.running}  # the model may write into them
        if self.program is None:
            with Padding() if self.problem.pads(training=False) else contextlib.nullcontext():
                found = call(
                    lambda *args, **names: functional_call(self.module, tensors, args, names), as_batch(example)
                )
            return values_of(found)

        def hook(node: fx.Node, arguments: Sequence[Any], value: Any) -> Any:
            if node.name not in changes:
                return value
            seen[node.name] = arguments[_INPUT.get(node.target, 0)]
            return value + changes[node.name]

        return values_of(self.program.run(tensors, [leaf.unsqueeze(0) for leaf in tree_leaves(example)], hook))


_INPUT = {torch.ops.aten.embedding.default: 1}  # where an operation's input stands, if not first


def _mapped(row: Callable[..., Any], population: Population, inputs: Any, shared: tuple[Any, ...]) -> Any:
    """The row function of every member and example: vmapped over both, or looped where vmap fails."""
    parameters = dict(population.layout.views(population.theta))
    buffers = dict(population.buffers)
    over_examples = torch.vmap(row, in_dims=(None, None, 0, *(None for _ in shared)))
    over_members = torch.vmap(over_examples, in_dims=(0, 0, None, *(None for _ in shared)))
    with plain_attention(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            return over_members(parameters, buffers, inputs, *shared)
        except (RuntimeError, ValueError) as error:
            if not is_of_vmap(error):
                raise
        return _looped(row, parameters, buffers, inputs, shared)


def is_of_vmap(error: Exception) -> bool:
    """Whether vmap cannot do what the model does."""
    return "vmap" in str(error) or "atching rule" in str(error)


def _each(pull: Callable[[Tensor], Any], cotangents: Tensor) -> Any:
    try:
        return torch.vmap(pull)(cotangents)
    except (RuntimeError, ValueError) as error:
        if not is_of_vmap(error):
            raise
    return tree_map(lambda *leaves: torch.stack(leaves), *(pull(cotangent) for cotangent in cotangents))


def _looped(
    row: Callable[..., Any], parameters: Tensors, buffers: Tensors, inputs: Any, shared: tuple[Any, ...]
) -> Any:
    def rows() -> Iterator[Any]:
        for member in range(len(next(iter(parameters.values())))):
            own = [{name: tensor[member] for name, tensor in tensors.items()} for tensors in (parameters, buffers)]
            found = [
                row(*own, tree_map(lambda leaf, number=number: leaf[number], inputs), *shared)
                for number in range(len(tree_leaves(inputs)[0]))
            ]
            yield tree_map(lambda *leaves: torch.stack(leaves), *found)

    return tree_map(lambda *leaves: torch.stack(leaves), *rows())
