"""One trace of a model on a few examples, by `torch.export`."""

import contextlib
import copy
import io
import logging
import operator
import os
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from thalweg.errors import ModelError
from thalweg.population.structure.operation import Operation, Value
from thalweg.randomness import global_stream

_TORCH = os.path.dirname(torch.__file__)
_FRAME = re.compile(r'File "(.+?)", line (\d+), in')
_STILL = "Training, evaluation, curvature and landscapes need no structure and work as they are."
_REMEDIES = {
    "Could not guard on data-dependent": "what is done may not depend on numbers; write torch.where instead of an if, "
    "and shapes that do not depend on them",
    "Could not extract specialized integer": "shapes and indices may not depend on numbers; keep all rows and mask, or "
    "write torch.where",
    "numpy": "what is computed in NumPy cannot be followed; write it in torch",
    "mutat": "attributes may not change while the model is called; keep what changes in buffers (register_buffer)",
    "ttribut": "attributes may not change while the model is called; keep what changes in buffers (register_buffer)",
}


@dataclass(frozen=True)
class Trace:
    """What a model did with a batch.

    Args:
        operations: in the order in which they were called.
        inputs: values that the batch holds: name -> shape.
        tensors: parameters and buffers that were read, under their first name in the model: name -> shape.
        constants: tensors that the model made before it was called, or holds without a name: name -> shape.
        outputs: the values returned.
        names: the first name of every parameter and buffer, by each name that it has.
    """

    operations: tuple[Operation, ...]
    inputs: Mapping[str, tuple[int, ...]]
    tensors: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    names: Mapping[str, str]


def traced(module: nn.Module, inputs: Any) -> Trace:
    """What a private copy of a module does with a batch, in evaluation mode.

    Raises:
        ModelError: it cannot be traced; the sentence names the line and the remedy.
    """
    private = copy.deepcopy(module).eval()
    arguments, named = _arguments(inputs)
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole layer would hide what is in it
        with global_stream(0, "structure"), torch.no_grad(), _silence():
            program = torch.export.export(private, arguments, named, strict=False)
        trace = _Reader(private, program).trace
    except ModelError:
        raise
    except Exception as error:
        raise _untraceable(error) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return trace


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Torch warns, and where it fails it logs and prints whole graphs; what failed is said by us."""
    level = logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """As `binding.call` hands them over."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}


def _untraceable(error: Exception) -> ModelError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _foreign(frame.filename)]
    where = f"{frames[-1].filename}:{frames[-1].lineno} ({frames[-1].line})" if frames else ""
    for frame in _FRAME.findall(str(error)):
        if not where and _foreign(frame[0]):
            where = f"{frame[0]}:{frame[1]}"
    why = next((remedy for sign, remedy in _REMEDIES.items() if sign in str(error)), "")
    said = why or f"torch.export says: {lines[0].strip() if lines else type(error).__name__}"
    return ModelError(_sentence(where, said.rstrip(".")))


def _sentence(where: str, why: str) -> str:
    return f"The model cannot be traced{f' at {where}' if where else ''}: {why}. {_STILL}"


def _foreign(file: str) -> bool:
    """Whether a file is neither torch's nor this one."""
    return not file.startswith((_TORCH, "<")) and os.path.abspath(file) != os.path.abspath(__file__)


class _Reader:
    """The graph of an exported program in our words."""

    def __init__(self, module: nn.Module, program: torch.export.ExportedProgram) -> None:
        first: dict[Tensor, str] = {}
        tensors = (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
        owned = {name: first.setdefault(tensor, name) for name, tensor in tensors}
        specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        kinds = torch.export.graph_signature.InputKind
        self.names: dict[str, str] = {}
        found: dict[str, dict[str, tuple[int, ...]]] = {"inputs": {}, "tensors": {}, "constants": {}}
        operations: list[Operation] = []
        for node in program.graph.nodes:
            if node.op == "placeholder":
                spec = specs[node.name]
                ours = spec.kind in (kinds.PARAMETER, kinds.BUFFER) and spec.target in owned
                name = owned[str(spec.target)] if ours else node.name
                self.names[node.name] = name
                where = "tensors" if ours else "inputs" if spec.kind == kinds.USER_INPUT else "constants"
                if isinstance(node.meta.get("val"), Tensor):
                    found[where][name] = tuple(node.meta["val"].shape)
            elif node.op == "call_function":
                self.names[node.name] = node.name + "_" * (node.name in found["tensors"])
                operations.append(self._operation(node, found["tensors"]))
            elif node.op != "output":
                self.names[node.name] = node.name
        (last,) = (node for node in program.graph.nodes if node.op == "output")
        outputs = tuple(self.names[node.name] for node in tree_leaves(last.args) if isinstance(node, fx.Node))
        self.trace = Trace(tuple(operations), **found, outputs=outputs, names=owned)

    def _operation(self, node: fx.Node, tensors: Mapping[str, Any]) -> Operation:
        target = node.target
        schema = getattr(target, "_schema", None)
        if target is operator.getitem:
            kind, names = "getitem", ["input", "index"]
        elif schema is None:
            kind, names = str(getattr(target, "__name__", target)), []
        else:
            kind, names = schema.name.rpartition("::")[2], [argument.name for argument in schema.arguments]
            kind = kind if kind.startswith("_") else kind.removesuffix("_")
        names = [*names, *(str(number) for number in range(len(names), len(node.args)))]
        arguments = {name: self._named(value) for name, value in zip(names, node.args, strict=False)}
        arguments |= {name: self._named(value) for name, value in node.kwargs.items()}
        if "self" in arguments:
            arguments = {"input" if name == "self" else name: value for name, value in arguments.items()}
        path = [module for module, _ in (node.meta.get("nn_module_stack") or {}).values()]
        shapes = tuple(tuple(leaf.shape) for leaf in tree_leaves(node.meta.get("val")) if isinstance(leaf, Tensor))
        if any(not isinstance(length, int) for shape in shapes for length in shape):
            msg = f"the shape of what {kind!r} gives depends on numbers; keep all rows, and mask or write torch.where"
            raise ModelError(_sentence(_source(node.meta.get("stack_trace") or ""), msg))
        read = Operation("", "", "", "", arguments, ()).inputs
        return Operation(
            self.names[node.name],
            kind,
            path[-1].partition("@")[0] if path else "",
            _source(node.meta.get("stack_trace") or ""),
            arguments,
            shapes,
            str(target),
            parameters=tuple(name for name in read if name in tensors),
        )

    def _named(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Value(self.names[argument.name])
        if isinstance(argument, tuple | list):
            return [self._named(part) for part in argument]
        return argument


def _source(stack: str) -> str:
    """The innermost line that is not torch's own."""
    frames = [(file, line) for file, line in _FRAME.findall(stack) if _foreign(file)]
    return f"{frames[-1][0]}:{frames[-1][1]}" if frames else ""
