"""A model's operations on one example, which can be run with other tensors in the place of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.population.structure.tracing import exported

Hook = Callable[[fx.Node, Sequence[Any], Any], Any]  # an operation, its arguments and its value -> what stands for it


@dataclass(frozen=True, eq=False)
class Program:
    """What a model does with one example (a batch of one), in evaluation mode.

    Args:
        nodes: operations in their order.
        given: of every placeholder that is a parameter or buffer, its first name in the model.
        inputs: placeholders of the leaves of a batch's inputs, in their order.
        constants: what the model holds without a name.
        outputs: what it returns, with nodes in the place of tensors.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.ntk.gram.program import Program
    >>> net = tw.nets.mlp(4, 3, 2)
    >>> program = Program.of(net, torch.zeros(1, 4))
    >>> program.run(dict(net.named_parameters()), [torch.zeros(1, 4)], lambda node, arguments, value: value).shape
    torch.Size([1, 2])
    """

    nodes: tuple[fx.Node, ...]
    given: Mapping[fx.Node, str]
    inputs: tuple[fx.Node, ...]
    constants: Mapping[fx.Node, Tensor]
    outputs: Any

    @classmethod
    def of(cls, module: nn.Module, inputs: Any) -> "Program":
        """The program of a module that is called on these inputs, a batch of one.

        Raises:
            ModelError: it cannot be traced, or has operations in blocks of their own, as under `torch.no_grad()`.
        """
        with torch.enable_grad():  # so that a block without gradients shows
            private, program = exported(module, inputs)
        first: dict[Tensor, str] = {}
        tensors = (
            *private.named_parameters(remove_duplicate=False),
            *private.named_buffers(remove_duplicate=False),
        )
        names = {name: first.setdefault(tensor, name) for name, tensor in tensors}
        specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        given: dict[fx.Node, str] = {}
        constants: dict[fx.Node, Tensor] = {}
        called = []
        kinds = torch.export.graph_signature.InputKind
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            spec = specs[node.name]
            if spec.kind in (kinds.PARAMETER, kinds.BUFFER) and spec.target in names:
                given[node] = names[str(spec.target)]
            elif spec.kind == kinds.USER_INPUT:
                called.append(node)
            else:
                held = program.constants.get(str(spec.target))
                if not isinstance(held, Tensor):
                    msg = f"The model holds {spec.target!r}, which is no tensor."
                    raise ModelError(msg)
                constants[node] = held
        nodes = tuple(node for node in program.graph.nodes if node.op == "call_function")
        others = [node for node in program.graph.nodes if node.op not in ("call_function", "placeholder", "output")]
        if others or any(not isinstance(node.target, torch._ops.OpOverload) for node in nodes if not _picks(node)):
            msg = "The model has operations in blocks of their own, as under torch.no_grad() or autocast."
            raise ModelError(msg)
        if len(called) != len(tree_leaves(inputs)):
            msg = "The model takes inputs that are no tensors."
            raise ModelError(msg)
        return cls(nodes, given, tuple(called), constants, program.graph.output_node().args[0])

    def run(self, tensors: Mapping[str, Tensor], inputs: Sequence[Tensor], hook: Hook) -> Any:
        """What the model returns (one value, or a sequence of them) for a batch of one.

        Args:
            tensors: parameters and buffers by their first names.
            inputs: leaves of the batch.
            hook: called after every operation.
        """
        values: dict[fx.Node, Any] = {node: tensors[name] for node, name in self.given.items()}
        values |= dict(zip(self.inputs, inputs, strict=True)) | dict(self.constants)

        def look(tree: Any) -> Any:
            return map_arg(tree, values.__getitem__)

        for node in self.nodes:
            arguments = look(node.args)
            value = _padded(*arguments) if _pads(node) else node.target(*arguments, **look(node.kwargs))  # type: ignore
            values[node] = hook(node, arguments, value)
        found = look(self.outputs)
        return found[0] if len(found) == 1 else found


def shape_of(node: Any) -> tuple[int, ...]:
    """Of a node's value, for a batch of one."""
    return tuple(node.meta["val"].shape)


def values_of(tree: Any) -> Tensor:
    """All numbers that a model returns for one example as a vector: (outputs,)."""
    leaves = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return torch.cat([leaf.reshape(-1) for leaf in leaves])


def as_batch(tree: Any) -> Any:
    """One example as a batch of one."""
    return tree_map(lambda leaf: leaf.unsqueeze(0), tree)


def _pads(node: fx.Node) -> bool:
    """Whether it looks up an embedding that has a padding row, which is a constant."""
    return node.target is torch.ops.aten.embedding.default and len(node.args) > 2 and node.args[2] >= 0  # type: ignore


def _padded(weight: Tensor, indices: Tensor, padding: int, *others: Any) -> Tensor:
    values = torch.embedding(weight, indices, -1, *others)
    return torch.where((indices == padding).unsqueeze(-1), weight[padding].detach(), values)


def _picks(node: fx.Node) -> bool:
    return getattr(node.target, "__name__", "") == "getitem"
