"""The tangent kernel of finite networks."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation import Drawn, Sample, as_sample
from thalweg.guard import guarded
from thalweg.ntk.empirical_cost import cost_of
from thalweg.ntk.empirical_kernel import EmpiricalKernel
from thalweg.ntk.empirical_kernels import Method, Outputs
from thalweg.ntk.gram.kernels import Work, kernels
from thalweg.ntk.inputs import remarks_on_tensors
from thalweg.ntk.remarks import remarks_on_members
from thalweg.population import Population, Problem
from thalweg.progress import Progress, Watcher, automatic, check_watcher, watched
from thalweg.results import Cost, Provenance, Reading

_DIMS = {
    "full": ("member", "example", "other example", "output", "other output"),
    "trace": ("member", "example", "other example"),
    "sum": ("member", "example", "other example"),
    "diagonal": ("member", "example", "output"),
}
_WHAT = {
    "full": "All pairs of outputs.",
    "trace": "The mean over outputs c of Theta[x, x', c, c].",
    "sum": "Of the sum of all outputs.",
    "diagonal": "Theta[x, x, c, c] of every example with itself.",
}


@guarded
def empirical(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet = "train",
    against: Sample | str | ExampleSet | None = None,
    *,
    outputs: Outputs = "full",
    by_layer: bool | Literal["module", "parameter"] = False,
    method: Method = "automatic",
    memory_budget: int | None = None,
    progress: Watcher | None = automatic,
) -> EmpiricalKernel:
    """The tangent kernel of every member at its parameters, in evaluation mode (Jacot et al. 2018).

        Theta[x, x', c, c'] = sum over active parameters of (d f_c(x) / d theta) (d f_c'(x') / d theta)

    with f_c the c-th number that the model returns for an example. Masked and frozen parameters and padding rows of
    embeddings are not trained, and are no part of it.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> kernel = tw.ntk.empirical(problem, problem.initialize(3), on=tw.Sample("train", 20), outputs="trace")
    >>> kernel["kernel"].shape
    (3, 20, 20)

    Args:
        problem, population: only read.
        on: the examples x of the rows.
        against: the examples x' of the columns; None: the same, of which half of the work is enough.
        outputs: "full": of all pairs of outputs; "trace": the mean over outputs c of Theta[x, x', c, c], which
            estimates the kernel of infinite width; "diagonal": Theta[x, x, c, c] alone; "sum": of the sum of all
            outputs (the pseudo-kernel of Mohamadi et al. 2023, arXiv:2206.12543, times the number of outputs).
        by_layer: what every module (True or "module") or every tensor ("parameter") adds, too: array "layers", in which
            tied weights are under their first name.
        method: "layers": from inputs and cotangents of the operations, whose Gram matrices are multiplied, where
            parameters are weights and biases of linear layers, convolutions and embeddings; from gradients elsewhere.
            "jacobian": from the gradients of all parameters. "products": a column at a time, by J J^T e. "automatic":
            the one of the fewest multiply-adds, which `empirical_cost` tells.
        memory_budget: bytes that the kernel and all else may take; None: the problem's. What does not fit at once is
            computed in tiles of members, examples and outputs.
        progress: told after every tile.

    Raises:
        UsageError: what cannot be meant, or a kernel that is larger than the budget.
        ModelError: the model draws random numbers in evaluation mode.

    Returns:
        the reading has "kernel": "full" (member, example, other example, output, other output), "trace" and "sum"
        (member, example, other example), "diagonal" (member, example, output); and "layers", with "layer" in front.

    Cost: N examples, C outputs, P parameters, F multiply-adds forward: "layers" N (1 + C) F, and for every linear layer
        of m inputs and n outputs N^2 (m + C^2 n); "jacobian" N (1 + 2 C) F + N^2 C^2 P; "products" 2 N^2 C F. The first
        two take half of their last terms where rows and columns are the same.

    Paper: Jacot, Gabriel and Hongler, 2018, arXiv:1806.07572; the methods: Novak, Sohl-Dickstein and Schoenholz, 2022,
        arXiv:2206.08720.
    """
    began = time.perf_counter()
    check_watcher("empirical", progress)
    rows = as_sample("empirical", on).draw(problem)
    columns = None if against is None else as_sample("empirical", against).draw(problem)
    inputs, others = _inputs(rows), None if columns is None else _inputs(columns)
    label = _labels(population, by_layer)
    work = Work.of(problem, population, inputs, others, outputs, label)
    cost = cost_of(work)
    chosen = cost.method if method == "automatic" else work.chosen(method)
    with watched(progress) as told:

        def done(part: int, total: int) -> None:
            told(Progress("tangent kernel", part, total, time.perf_counter() - began))

        found = kernels(work, chosen, memory_budget, label, done)
    arrays, dims, coordinates = _arrays(found, outputs, bool(by_layer))
    coordinates |= {"member": np.arange(len(population))} | _chosen(rows, columns, arrays, dims)
    passes = work.block.examples * len(population)
    reading = Reading(
        "tangent kernel",
        arrays,
        dims,
        coordinates,
        sample_size=len(rows),
        cost=Cost(time.perf_counter() - began, forwards=passes, backwards=passes * work.block.outputs),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype), plan=chosen),
        notes=(
            f"On {rows.text}{'' if columns is None else f', against {columns.text}'}, in evaluation mode.",
            _WHAT[outputs],
            f"By {chosen}: {cost.counts[chosen]:.2e} multiply-adds a member.",
            *cost.remarks(),
            *remarks_on_members(population),
            *remarks_on_tensors(inputs, len(rows), copies=columns is None),
        ),
    )
    return EmpiricalKernel(reading, outputs, chosen, against is None)


def _inputs(drawn: Drawn) -> Any:
    examples = drawn.examples
    return examples.slice(0, len(examples))[0]


def _labels(population: Population, by_layer: bool | str) -> Callable[[str], str]:
    """Under what a parameter is added."""
    if by_layer is False:
        return lambda name: "kernel"
    if by_layer == "parameter":
        return lambda name: name
    if by_layer not in (True, "module"):
        msg = f'by_layer must be False, True, "module" or "parameter"; got {by_layer!r}.'
        raise UsageError(msg)
    modules = {entry.name: entry.module or "(model)" for entry in population.layout}
    return modules.__getitem__


def _arrays(
    found: Mapping[str, Tensor], outputs: str, layered: bool
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]], dict[str, Any]]:
    """Arrays, their dims, and coordinates of layers."""
    dims = _DIMS[outputs]
    if not layered:
        return {"kernel": found["kernel"].numpy(force=True)}, {"kernel": dims}, {}
    layers = torch.stack(list(found.values()))
    arrays = {"kernel": layers.sum(0).numpy(force=True), "layers": layers.numpy(force=True)}
    return arrays, {"kernel": dims, "layers": ("layer", *dims)}, {"layer": list(found)}


def _chosen(
    rows: Drawn, columns: Drawn | None, arrays: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """The numbers of the examples in their sets, where some were drawn."""
    which = {"example": rows, "other example": rows if columns is None else columns}
    found = {dim: one.indices for dim, one in which.items() if dim in dims["kernel"]}
    return {dim: indices.numpy(force=True) for dim, indices in found.items() if indices is not None}
