"""Rows evaluated together: one call of the model for all of them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.population.attention import mapped_attention
from thalweg.population.batch import Batch
from thalweg.population.binding import Bound, call
from thalweg.population.broadcast import Broadcast
from thalweg.population.population import Population
from thalweg.population.problem import Problem


class Stacked:
    """The model with tensors that carry the members in front, leaves being views of theta.

    theta and buffers are read in place, so an optimizer's updates are seen at the next call; running
    statistics are updated in place, as the model does it. Members are broadcast where the model allows it, and vmapped
    where it does not.
    """

    def __init__(self, problem: Problem, population: Population, *, training: bool) -> None:
        self.problem = problem
        self.layout = population.layout
        self.theta = population.theta
        self.buffers = dict(population.buffers)
        self.bound = Bound(problem.template, population, training=training)
        self._leaves: dict[tuple[int, int], dict[str, Tensor]] = {}
        self.broadcast: bool | None = None  # not known before the first call

    def outputs(self, rows: slice, batch: Batch, step: int = 0) -> Any:
        """Outputs (rows, batch, ...), without gradients."""
        with torch.no_grad():
            return self.call(self.layout.leaves(self.theta[rows]), rows, batch)

    @torch.enable_grad()
    def gradient(
        self, rows: slice, batch: Batch, out: Float[Tensor, "members parameters"], step: int = 0
    ) -> Float[Tensor, " rows"]:
        """Mean losses of the rows on the batch; their gradients are written to out[rows]."""
        leaves = self._leaves_of(rows)
        members, batch = len(next(iter(leaves.values()))), batch.rows(rows)
        losses = self.problem.loss.mean(self._outputs(leaves, rows, batch), batch.targets_of(slice(None), members), 2)
        # Of the sum: autograd reads the shape of gradients that it is given by what takes half a second to import.
        parts = torch.autograd.grad(losses.sum(), list(leaves.values()), materialize_grads=True)
        # Parts come transposed from batched products: one strided copy each, nothing in between.
        torch._foreach_copy_(list(self.layout.views(out[rows]).values()), parts)
        return losses.detach()

    def _leaves_of(self, rows: slice) -> dict[str, Tensor]:
        """The rows' tensors, made once: they are views of theta, whatever is written to it."""
        key = rows.start, rows.stop
        if key not in self._leaves or self.layout.uneven:
            views = self.layout.leaves(self.theta[rows])
            self._leaves[key] = {name: view.detach().requires_grad_() for name, view in views.items()}
        return self._leaves[key]

    def call(self, leaves: dict[str, Tensor], rows: slice, batch: Batch) -> Any:
        """Outputs (rows, batch, ...) with these tensors (rows, ...) in the place of the rows' parameters."""
        return self._outputs(leaves, rows, batch.rows(rows))

    def _outputs(self, leaves: dict[str, Tensor], rows: slice, seen: Batch) -> Any:
        """The same on what these rows see of the batch."""
        buffers = {name: buffer[rows] for name, buffer in self.buffers.items()}
        tensors = list(leaves.values())
        if self.broadcast is not False:
            try:
                outputs = Broadcast(self.bound, tensors, buffers, seen).outputs()
            except Exception as error:  # what a model cannot do on larger tensors it says again when it is vmapped
                if self.broadcast or isinstance(error, torch.OutOfMemoryError):
                    raise
                self.broadcast = False
            else:
                self.broadcast = True
                return outputs
        with mapped_attention():
            mapped = torch.vmap(self._one, in_dims=(0, 0, None if seen.shared else 0))
            return mapped(tensors, buffers, seen.inputs)

    def _one(self, leaves: list[Tensor], buffers: dict[str, Tensor], inputs: Any) -> Any:
        self.bound.bind(leaves, buffers)
        outputs = call(self.bound.module, inputs)
        for name in self.bound.replaced(buffers):
            msg = f"the model replaces its buffer {name!r} by a new tensor, which is lost when members are stacked"
            raise ModelError(msg)
        return outputs
