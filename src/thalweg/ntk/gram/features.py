"""What kernels are contracted from: inputs and cotangents of operations, and gradients, of every member and example."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import jvp, vjp
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.ntk.gram.program import Program, as_batch, shape_of, values_of
from thalweg.ntk.gram.sites import Site
from thalweg.population import Population, Problem
from thalweg.population.attention import mapped_attention
from thalweg.population.binding import call, exchanged
from thalweg.population.copying import copied
from thalweg.population.padding import Padding
from thalweg.switches import vmap_warning_off

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
        object.__setattr__(self, "module", copied(self.problem.template).eval())
        nodes = dict.fromkeys(site.node for sites in self.sites.values() for site in sites)
        object.__setattr__(self, "nodes", tuple(nodes))
        object.__setattr__(self, "running", tuple(name for name, _ in self.module.named_buffers()))

    def features(self, population: Population, inputs: Any, cotangents: Tensor) -> Features:
        """Those of all members, of examples (examples, ...), along cotangents (some, outputs) of the outputs."""
        return Features(*_mapped(self._row, population, inputs, shared=(cotangents,)))

    def along(self, population: Population, inputs: Any, tangents: Tensors) -> Tensor:
        """How all outputs change along tangents of the direct parameters.

        Args:
            population: of whose members.
            inputs: of examples (examples, ...).
            tangents: (members, some, ...) of every direct parameter.

        Returns:
            (members, examples, some, outputs).
        """

        def row(parameters: Tensors, buffers: Tensors, example: Any, tangents: Tensors) -> Tensor:
            direct = {name: parameters[name] for name in self.direct}

            def values(direct: Tensors) -> Tensor:
                return self._values({**parameters, **buffers, **direct}, example, {}, {})

            if self.program is not None:
                try:
                    return _each(lambda tangent: jvp(values, (direct,), (tangent,))[1], tangents)
                except NotImplementedError:  # torch has no forward mode of some operations, such as weight norm
                    pass
            # Forward mode sees through blocks without gradients: J v as the derivative of w -> J^T w instead.
            zeros = torch.zeros_like(values(direct))
            pulled: Any = vjp(lambda weights: vjp(values, direct)[1](weights)[0], zeros)
            return _each(lambda tangent: pulled[1](tangent)[0], tangents)

        try:
            return _mapped(row, population, inputs, own=(tangents,))
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            said = str(error).partition("\n")[0].rstrip(".")
            msg = f'The model has no derivative along a vector: {said}. Write method="jacobian" instead.'
            raise ModelError(msg) from error

    def outputs(self, population: Population, inputs: Any) -> Tensor:
        """(members, examples, outputs)."""

        def row(parameters: Tensors, buffers: Tensors, example: Any) -> Tensor:
            return self._values({**parameters, **buffers}, example, {}, {})

        return _mapped(row, population, inputs)

    def _row(
        self, parameters: Tensors, buffers: Tensors, example: Any, cotangents: Tensor
    ) -> tuple[Tensors, Tensors, Tensors]:
        like = cotangents
        changes = {node.name: like.new_zeros(shape_of(node)) for node in self.nodes}
        direct = {name: parameters[name] for name in self.direct}

        def values(changes: Tensors, direct: Tensors) -> tuple[Tensor, Tensors]:
            seen: Tensors = {}
            return self._values({**parameters, **buffers, **direct}, example, changes, seen), seen

        pulled: Any = vjp(values, changes, direct, has_aux=True)
        return pulled[2], *_each(pulled[1], cotangents)

    def _values(self, tensors: Tensors, example: Any, changes: Tensors, seen: Tensors) -> Tensor:
        """All outputs for one example as a vector; `seen` is given the inputs of operations that are changed."""
        tensors = tensors | {name: tensors[name].clone() for name in self.running}  # the model may write into them
        if self.program is None:
            with Padding() if self.problem.pads(training=False) else contextlib.nullcontext():
                found = call(exchanged(self.module, tensors), as_batch(example))
            return values_of(found)

        def hook(node: fx.Node, arguments: Sequence[Any], value: Any) -> Any:
            if node.name not in changes:
                return value
            seen[node.name] = arguments[1 if node.target is torch.ops.aten.embedding.default else 0]
            return value + changes[node.name]

        return values_of(self.program.run(tensors, [leaf.unsqueeze(0) for leaf in tree_leaves(example)], hook))


# What an operation raises that vmap cannot do. Some fail in words of their own, as PReLU backward and recurrent layers
# do; a fault of the model's is raised again where it is called on one example.
_OF_VMAP = (RuntimeError, ValueError, IndexError)


def _mapped(
    row: Callable[..., Any],
    population: Population,
    inputs: Any,
    *,
    shared: tuple[Any, ...] = (),
    own: tuple[Any, ...] = (),
) -> Any:
    """The row function of every member and example: vmapped over both, or looped where vmap fails.

    Args:
        row: of parameters, buffers, an example, what all share, and what is a member's own.
        population, inputs: of which members and examples.
        shared, own: those.
    """
    parameters, buffers = dict(population.layout.views(population.theta)), dict(population.buffers)
    rest = (None,) * len(shared)
    over_examples = torch.vmap(row, in_dims=(None, None, 0, *rest, *(None for _ in own)))
    over_members = torch.vmap(over_examples, in_dims=(0, 0, None, *rest, *(0 for _ in own)))
    with mapped_attention(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns of a part of itself that jvp still uses
        try:
            return over_members(parameters, buffers, inputs, *shared, *own)
        except torch.OutOfMemoryError:
            raise
        except _OF_VMAP:
            pass
        return _looped(row, (parameters, buffers), inputs, shared, own)


def _looped(
    row: Callable[..., Any],
    tensors: tuple[Tensors, Tensors],
    inputs: Any,
    shared: tuple[Any, ...],
    own: tuple[Any, ...],
) -> Any:
    def rows() -> Iterator[Any]:
        for member in range(len(next(iter(tensors[0].values())))):
            parameters, buffers, *others = (_of(tree, member) for tree in (*tensors, *own))
            count = len(tree_leaves(inputs)[0])
            found = [row(parameters, buffers, _of(inputs, number), *shared, *others) for number in range(count)]
            yield tree_map(lambda *leaves: torch.stack(leaves), *found)

    return tree_map(lambda *leaves: torch.stack(leaves), *rows())


def _of(tree: Any, number: int) -> Any:
    return tree_map(lambda leaf: leaf[number], tree)


def _each(function: Callable[[Any], Any], vectors: Any) -> Any:
    """The function of every one of some vectors: vmapped, or one after the other where vmap fails."""
    try:
        with vmap_warning_off:
            return torch.vmap(function)(vectors)
    except torch.OutOfMemoryError:
        raise
    except _OF_VMAP:
        pass
    found = (function(_of(vectors, number)) for number in range(len(tree_leaves(vectors)[0])))
    return tree_map(lambda *leaves: torch.stack(leaves), *found)
