"""First derivatives of a batch's losses kept as a graph: a product with a second derivative is then a backward pass.

A product of its own (see `derivatives`) computes outputs and gradient anew each time; where many are taken at one
point, as by Lanczos' method, the graph pays off after the second (measured: 1.5 to 3 times less time a product).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from thalweg.population.batch import Batch
from thalweg.population.binding import Bound, call
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.stacked import Attentive, Stacked, plain_attention

Vectors = Float[Tensor, "members parameters"]
Product = Callable[[Vectors], Vectors]


class Linearized:
    """The outputs of every member on one batch as a graph over theta, in evaluation mode.

    Args:
        problem, population, batch: what is evaluated; they are only read.

    Attributes:
        attention: whether the model computes attention, here by its formula.

    Memory: the activations of all members on the batch, about four times over once a product is taken.
    """

    def __init__(self, problem: Problem, population: Population, batch: Batch) -> None:
        self.problem, self.layout = problem, population.layout
        views = self.layout.views(population.theta)
        self.leaves = [view.detach().requires_grad_() for view in views.values()]
        self.targets = batch.targets_of(slice(None), len(population))
        with torch.enable_grad(), Attentive() as attentive:
            self.outputs = self._forward(population, batch)
        self.attention = attentive.seen

    def hessian(self) -> Product:
        """v -> H v of every member's mean loss, backward over backward."""
        with torch.enable_grad():
            losses = self.problem.loss.mean(self.outputs, self.targets, 2)
            slopes = torch.autograd.grad(losses.sum(), self.leaves, create_graph=True, materialize_grads=True)
        bent = [place for place, slope in enumerate(slopes) if slope.requires_grad]

        def product(vectors: Vectors) -> Vectors:
            if not bent:
                return torch.zeros_like(vectors)
            parts = list(self.layout.views(vectors).values())
            return self._back([slopes[place] for place in bent], [parts[place] for place in bent])

        return product

    def gauss_newton(self) -> Product:
        """v -> J^T (d^2 loss / d outputs^2) J v of every member's mean loss."""
        outputs, form = tree_flatten(self.outputs)
        values = [output.detach().requires_grad_() for output in outputs]
        with torch.enable_grad():
            losses = self.problem.loss.mean(tree_unflatten(values, form), self.targets, 2)
            slopes = torch.autograd.grad(losses.sum(), values, create_graph=True, materialize_grads=True)
        bent = [place for place, slope in enumerate(slopes) if slope.requires_grad]
        along = self._along(outputs)

        def product(vectors: Vectors) -> Vectors:
            changes = along(vectors)
            if not bent:
                return torch.zeros_like(vectors)
            chosen = [changes[place] for place in bent]
            curved = torch.autograd.grad(
                [slopes[place] for place in bent], values, chosen, retain_graph=True, materialize_grads=True
            )
            return self._back(outputs, curved)

        return product

    def fisher(self) -> Product:
        """v -> the mean over examples of g (g . v) for their gradients g: the empirical Fisher matrix."""
        with torch.enable_grad():
            losses = self.problem.loss.examples(self.outputs, self.targets, 2)
        along = self._along([losses])

        def product(vectors: Vectors) -> Vectors:
            return self._back([losses], [along(vectors)[0] / losses.shape[1]])

        return product

    def _along(self, values: Sequence[Tensor]) -> Callable[[Vectors], list[Tensor]]:
        """v -> J v for J of the values: the derivative of u -> J^T u, which is linear, along v."""
        with torch.enable_grad():
            weights = [torch.zeros_like(value).requires_grad_() for value in values]
            pulled = torch.autograd.grad(values, self.leaves, weights, create_graph=True, materialize_grads=True)
        used = [place for place, part in enumerate(pulled) if part.requires_grad]

        def product(vectors: Vectors) -> list[Tensor]:
            parts = list(self.layout.views(vectors).values())
            chosen = [parts[place] for place in used]
            made = [pulled[place] for place in used]
            return list(torch.autograd.grad(made, weights, chosen, retain_graph=True, materialize_grads=True))

        return product

    def _back(self, values: Sequence[Tensor], weights: Sequence[Tensor]) -> Vectors:
        """Gradients of the weighted sum of values with respect to theta."""
        parts = torch.autograd.grad(values, self.leaves, weights, retain_graph=True, materialize_grads=True)
        return self.layout.pack({entry.name: part for entry, part in zip(self.layout, parts, strict=True)})

    def _forward(self, population: Population, batch: Batch) -> Any:
        """Outputs (members, batch, ...): by one call for all where the model can be stacked."""
        if len(population) > 1:
            try:
                stacked = Stacked(self.problem, population, training=False)
                names = [entry.name for entry in self.layout]
                return stacked._call(dict(zip(names, self.leaves, strict=True)), slice(None), batch)
            except Exception as error:  # whatever vmap cannot do is done member by member
                if isinstance(error, torch.OutOfMemoryError):
                    raise
        bound = Bound(self.problem.template, population, training=False)
        results = []
        with plain_attention():
            for member in range(len(population)):
                buffers = {name: buffer[member].clone() for name, buffer in population.buffers.items()}
                bound.bind([leaf[member] for leaf in self.leaves], buffers)
                results.append(call(bound.module, batch.member(member)[0]))
        return tree_map(lambda *leaves: torch.stack(leaves), *results)
