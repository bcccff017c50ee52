"""Rows evaluated together: one vmapped call of the model for all of them."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.population.batch import Batch
from thalweg.population.population import Population
from thalweg.population.problem import Problem, call


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention by its formula: the fused kernels have neither batching rules on the CPU nor second derivatives."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class Stacked:
    """The model with tensors that carry the members in front, leaves being views of theta.

    theta and buffers are read in place, so an optimizer's updates are seen at the next call; running
    statistics are updated in place, as the model does it.
    """

    def __init__(self, problem: Problem, population: Population, *, training: bool) -> None:
        self.problem = problem
        self.layout = population.layout
        self.theta = population.theta
        self.buffers = dict(population.buffers)
        self.module = copy.deepcopy(problem.template).train(training)

    def outputs(self, rows: slice, batch: Batch, step: int = 0) -> Any:
        """Outputs (rows, batch, ...), without gradients."""
        with torch.no_grad():
            return self._call(self.layout.views(self.theta[rows]), rows, batch)

    @torch.enable_grad()
    def gradient(
        self, rows: slice, batch: Batch, out: Float[Tensor, "members parameters"], step: int = 0
    ) -> Float[Tensor, " rows"]:
        """Mean losses of the rows on the batch; their gradients are written to out[rows]."""
        views = self.layout.views(self.theta[rows])
        leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        members = len(next(iter(leaves.values())))
        losses = self.problem.loss.mean(self._call(leaves, rows, batch), batch.targets_of(rows, members), 2)
        parts = torch.autograd.grad(losses.sum(), list(leaves.values()), materialize_grads=True)
        for view, part in zip(self.layout.views(out[rows]).values(), parts, strict=True):
            view.copy_(part)  # parts come transposed from batched products: one strided copy, nothing in between
        return losses.detach()

    def _call(self, leaves: dict[str, Tensor], rows: slice, batch: Batch) -> Any:
        buffers = {name: buffer[rows] for name, buffer in self.buffers.items()}
        with plain_attention():
            mapped = torch.vmap(self._one, in_dims=(0, 0, None if batch.shared else 0))
            return mapped(leaves, buffers, batch.rows(rows).inputs)

    def _one(self, leaves: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Any) -> Any:
        tensors = {**leaves, **buffers}
        return call(lambda *args, **names: torch.func.functional_call(self.module, tensors, args, names), inputs)
