"""Networks as ONNX files, for what runs models without torch."""

import contextlib
import importlib.util
import io
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError, UsageError, check_type
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.binding import call
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.storage.atomic import explaining, replacing
from thalweg.tickets.slicing import Sliced
from thalweg.tickets.slicing_check import difference

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the largest output


@dataclass(frozen=True, eq=False)
class Exported(Result):
    """What `to_onnx` returns: the file, and how far it is off.

    Args:
        reading: "size": bytes of the file; "difference": of what onnxruntime gives from what torch gives, in units of
            the largest output; NaN where onnxruntime is not installed.
        path: the file.
    """

    path: Path


@guarded
def to_onnx(problem: Problem, networks: Population | Sliced, path: str | os.PathLike[str]) -> Exported:
    """Write a network as an ONNX file with a free batch size, and compare what onnxruntime makes of it.

    Sliced networks are ordinary dense ones, so whatever runs ONNX gains what slicing gains; masks are zeros there.

    >>> import importlib.util, tempfile
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> small = tw.tickets.sliced(problem, problem.initialize(1), {"hidden1": [0, 3, 5]})
    >>> there = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = tw.tickets.to_onnx(problem, small, f"{folder}/small.onnx") if there else None
    >>> found is None or bool(found["difference"] < 1e-5)
    True

    Args:
        problem: whose data it is called with.
        networks: one member: population[0], or what `sliced` gave.
        path: ends in .onnx; a file that is there is replaced.

    Raises:
        UsageError: several members, another ending, or the packages onnx and onnxscript are not installed.
        ModelError: torch cannot export the model, or onnxruntime computes something else; then no file is written.
        StorageError: the file cannot be written.

    Cost: a trace of the model, some seconds.
    """
    began = time.perf_counter()
    check_type("to_onnx problem", problem, Problem, "a Problem")
    check_type("to_onnx networks", networks, (Population, Sliced), "a Population, or what sliced() gave")
    population = networks.population if isinstance(networks, Sliced) else networks
    path = Path(path)
    if path.suffix != ".onnx":
        msg = f"{path} does not end in .onnx; write a name such as small.onnx."
        raise UsageError(msg)
    if len(population) != 1:
        msg = f"A file holds one network; give one of the {len(population)}, such as population[0]."
        raise UsageError(msg)
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"ONNX files need {' and '.join(missing)}; write pip install 'thalweg[onnx]'."
        raise UsageError(msg)
    module = population.module(0).cpu().eval()
    inputs = tree_map(_on_cpu, problem.preflight.examples()[0])
    with explaining(path), replacing(path) as temporary:
        _write(module, inputs, temporary)
        apart, note = _compared(module, inputs, temporary)
        if apart > _TOLERANCE[problem.dtype]:
            msg = f"onnxruntime computes something else than torch, by {apart:.2g} of the largest; no file stays."
            raise ModelError(msg)
        size = temporary.stat().st_size
    reading = Reading(
        "ONNX file",
        {"size": size, "difference": apart},
        units={"size": "bytes"},
        cost=Cost(time.perf_counter() - began, forwards=2),
        provenance=Provenance.here(None, "cpu", str(problem.dtype)),
        notes=(note,),
    )
    return Exported(reading, path)


def _write(module: nn.Module, inputs: Any, path: Path) -> None:
    """By torch's exporter, with the first dimension of every input free."""
    named = isinstance(inputs, Mapping)
    arguments = () if named else tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    free = {0: torch.export.Dim.AUTO}
    shapes = {name: free for name in inputs} if named else tuple(free for _ in arguments)
    try:
        with _silence():
            torch.onnx.export(
                module,
                arguments,
                str(path),
                kwargs=dict(inputs) if named else None,
                dynamic_shapes=shapes,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:  # whatever the exporter does not know
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"torch cannot export the model as ONNX: {first}"
        raise ModelError(msg) from error


def _compared(module: nn.Module, inputs: Any, path: Path) -> tuple[float, str]:
    """How far onnxruntime is off on the examples and on some of them; NaN where it is not there."""
    if importlib.util.find_spec("onnxruntime") is None:
        return float("nan"), "Not compared: onnxruntime is not installed."
    import onnxruntime  # pyrefly: ignore

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    apart, note = [], "Outputs are those of torch in onnxruntime, at two batch sizes."
    for rows in (slice(None), slice(0, 3)):
        part = tree_map(lambda leaf, rows=rows: leaf[rows] if isinstance(leaf, torch.Tensor) else leaf, inputs)
        feed = dict(zip(names, (leaf.numpy() for leaf in tree_leaves(part)), strict=True))
        try:
            got = [torch.as_tensor(one).double() for one in session.run(None, feed)]
        except Exception:  # an export that holds the batch size fixed
            if not apart:
                raise
            note = "Outputs are those of torch in onnxruntime; the batch size is fixed by the model's code."
            break
        with torch.no_grad():
            wanted = [leaf.double() for leaf in tree_leaves(call(module, part)) if isinstance(leaf, torch.Tensor)]
        apart.append(difference(wanted, got))
    return max(apart), note


def _on_cpu(leaf: Any) -> Any:
    return leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter warns, logs and prints."""
    level = logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
