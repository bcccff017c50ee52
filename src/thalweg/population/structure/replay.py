"""A traced model that is run again on other numbers, so that the values of its operations are seen."""

import operator
from collections.abc import Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.utils._pytree import tree_leaves

from thalweg.population.structure.tracing import BLOCKS, Reader, exported


class Replay:
    """The operations of a model in evaluation mode, for batches of one size, by the names that a `Structure` has.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.population.structure.replay import Replay
    >>> net, x = tw.nets.mlp(4, 3, 2), torch.ones(5, 4)
    >>> values = Replay(net, x).values(dict(net.named_parameters()), x, ["linear", "relu"])
    >>> values["relu"].shape, bool((values["relu"] == values["linear"].relu()).all())
    (torch.Size([5, 3]), True)

    Args:
        module: it is only read.
        inputs: a batch of the size that is coming.

    Raises:
        ModelError: the model cannot be traced.

    Cost: one trace.
    """

    def __init__(self, module: nn.Module, inputs: Any) -> None:
        with torch.no_grad():
            private, self.program = exported(module, inputs)
        self.named = Reader(private, self.program).values

    @torch.no_grad()
    def values(self, tensors: Mapping[str, Tensor], inputs: Any, wanted: Collection[str]) -> dict[str, Tensor]:
        """Values of the operations that are wanted.

        Args:
            tensors: parameters and buffers by their first names; the model may write into its buffers.
            inputs: a batch of the size that was traced.
            wanted: names of values.
        """
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        kinds, leaves = torch.export.graph_signature.InputKind, iter(tree_leaves(inputs))
        given: dict[fx.Node, Any] = {}
        for node in self.program.graph.nodes:
            if node.op != "placeholder":
                continue
            spec, name = specs[node.name], str(self.named[node])
            if spec.kind == kinds.USER_INPUT:
                given[node] = next(leaves)
            else:
                given[node] = tensors[name] if name in tensors else self.program.constants[str(spec.target)]
        seen: dict[str, Tensor] = {}
        self._run(self.program.graph_module, given, set(wanted), seen)
        return seen

    def _run(self, module: nn.Module, values: dict[fx.Node, Any], wanted: set[str], seen: dict[str, Tensor]) -> Any:
        """Run a module that is a graph, whose placeholders have values; what it returns."""
        graph = cast("fx.GraphModule", module).graph
        last = {used: node for node in graph.nodes for used in node.all_input_nodes}
        for node in graph.nodes:
            if node.op == "output":
                return map_arg(node.args[0], values.__getitem__)
            if node.op == "get_attr":
                values[node] = operator.attrgetter(str(node.target))(module)
            elif getattr(node.target, "__name__", "") in BLOCKS:
                at, name = next((at, one.target) for at, one in enumerate(node.args) if isinstance(one, fx.Node))
                inner = module.get_submodule(str(name))
                inside = [one for one in cast("fx.GraphModule", inner).graph.nodes if one.op == "placeholder"]
                outside = map_arg(node.args[at + 1 :], values.__getitem__)
                values[node] = self._run(inner, dict(zip(inside, outside, strict=True)), wanted, seen)
            elif node.op == "call_function":
                arguments, keywords = (map_arg(one, values.__getitem__) for one in (node.args, node.kwargs))
                values[node] = node.target(*arguments, **keywords)  # type: ignore
            name = self.named.get(node)
            if isinstance(name, str) and name in wanted and isinstance(values.get(node), Tensor):
                seen[name] = values[node]
            for used in node.all_input_nodes:
                if last[used] is node:
                    values.pop(used, None)
        return None
