"""One trace of a model on a few examples, by `torch.export`."""

import contextlib
import io
import logging
import operator
import os
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from thalweg.errors import ModelError
from thalweg.population.copying import copied
from thalweg.population.structure.operation import Operation, Value, values_in
from thalweg.randomness import global_stream

_TORCH = os.path.join(os.path.dirname(torch.__file__), "")
_STANDARD = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_FRAME = re.compile(r'File "(.+?)", line (\d+), in')
BLOCKS = ("wrap_with_autocast", "wrap_with_set_grad_enabled")  # what a `with` holds, in a graph of its own
_STILL = "Training, masks, evaluation, curvature and landscapes need no structure and work as they are."
_REMEDIES = {
    "Could not guard on data-dependent": "what is done may not depend on numbers; write torch.where instead of an if, "
    "and shapes that do not depend on them",
    "Could not extract specialized integer": "shapes and indices may not depend on numbers; keep all rows and mask, or "
    "write torch.where",
    ".numpy() is not supported": "what is computed in NumPy cannot be followed; write it in torch",
}


@dataclass(frozen=True)
class Trace:
    """What a model did with a batch.

    Args:
        operations: in the order in which they were called.
        inputs: values that the batch holds: name -> shape. Values have a name each: inputs, constants and results of
            operations that would share one have "_" behind it.
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
    with torch.no_grad():
        private, program = exported(module, inputs)
    try:
        return Reader(private, program).trace
    except ModelError:
        raise
    except Exception as error:
        raise _untraceable(error) from error


def exported(module: nn.Module, inputs: Any) -> tuple[nn.Module, torch.export.ExportedProgram]:
    """A private copy of a module in evaluation mode, and its program for a batch, whose numbers are never looked at.

    Blocks with gradients, where there are none around the call, or the other way round, are graphs of their own.

    Raises:
        ModelError: it cannot be traced; the sentence names the line and the remedy.
    """
    arguments, named = _arguments(inputs)
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        private = copied(module).eval()
        torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole layer would hide what is in it
        with global_stream(0, "structure"), _silence():
            return private, torch.export.export(private, arguments, named, strict=False)
    except ModelError:
        raise
    except Exception as error:
        raise _untraceable(error) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


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
    """Whether a file is neither torch's, nor the standard library's, nor this one."""
    standard = file.startswith(_STANDARD) and not any(part in file for part in _INSTALLED)
    own = os.path.abspath(file) == os.path.abspath(__file__)
    return not (standard or own or file.startswith((_TORCH, "<")))


class Reader:
    """The graph of an exported program in our words."""

    def __init__(self, module: nn.Module, program: torch.export.ExportedProgram) -> None:
        first: dict[Tensor, str] = {}
        tensors = (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
        self.owned = {name: first.setdefault(tensor, name) for name, tensor in tensors}
        self.taken = set(self.owned)  # names of values, which are those of tensors, whether they are read or not
        self.values: dict[fx.Node, Any] = {}
        self.tensors: dict[str, tuple[int, ...]] = {}
        self.operations: list[Operation] = []
        inputs, constants = self._inputs(program)
        outputs = tuple(values_in(self._follow(program.graph_module)))
        self.trace = Trace(tuple(self.operations), inputs, self.tensors, constants, outputs, self.owned)

    def _inputs(self, program: torch.export.ExportedProgram) -> tuple[dict[str, tuple[int, ...]], ...]:
        """Name what the program is called with; inputs of the model, and constants."""
        specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        kinds = torch.export.graph_signature.InputKind
        inputs: dict[str, tuple[int, ...]] = {}
        constants: dict[str, tuple[int, ...]] = {}
        for node in _placeholders(program.graph):
            spec = specs[node.name]
            ours = spec.kind in (kinds.PARAMETER, kinds.BUFFER) and spec.target in self.owned
            name = self.owned[str(spec.target)] if ours else self._free(node.name)
            self.values[node] = Value(name)
            where = self.tensors if ours else inputs if spec.kind == kinds.USER_INPUT else constants
            if isinstance(node.meta.get("val"), Tensor):
                where[name] = tuple(node.meta["val"].shape)
        return inputs, constants

    def _free(self, name: str) -> str:
        """A name that no other value has, nor any tensor of the model."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _follow(self, module: nn.Module) -> Any:
        """Note the operations of a module that is a graph, whose placeholders are named; what it returns."""
        graph = _graph(module)
        for node in graph.nodes:
            if getattr(node.target, "__name__", "") in BLOCKS:
                at, name = next((at, one.target) for at, one in enumerate(node.args) if isinstance(one, fx.Node))
                inner = module.get_submodule(str(name))
                for inside, outside in zip(_placeholders(_graph(inner)), node.args[at + 1 :], strict=True):
                    self.values[inside] = self._named(outside)
                self.values[node] = self._follow(inner)
            elif node.target is operator.getitem and isinstance(given := self._named(node.args[0]), list):
                self.values[node] = given[node.args[1]]
            elif node.op == "call_function":
                self.values[node] = Value(self._free(node.name))
                self.operations.append(self._operation(node))
            elif node.op == "get_attr":
                self.values[node] = Value(self._free(node.name))
        return self._named(graph.output_node().args[0])

    def _operation(self, node: fx.Node) -> Operation:
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
            str(self.values[node]),
            kind,
            path[-1].partition("@")[0] if path else "",
            _source(node.meta.get("stack_trace") or ""),
            arguments,
            shapes,
            str(target),
            parameters=tuple(name for name in read if name in self.tensors),
        )

    def _named(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if isinstance(argument, tuple | list):
            return [self._named(part) for part in argument]
        return argument


def _graph(module: nn.Module) -> fx.Graph:
    return cast("fx.GraphModule", module).graph


def _placeholders(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op == "placeholder"]


def _source(stack: str) -> str:
    """The innermost line that is not torch's own."""
    frames = [(file, line) for file, line in _FRAME.findall(stack) if _foreign(file)]
    return f"{frames[-1][0]}:{frames[-1][1]}" if frames else ""
