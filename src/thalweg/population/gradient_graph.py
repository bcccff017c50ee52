"""First derivatives of a batch's losses kept as a graph: a product with a second derivative is then a backward pass.

A product without it computes outputs and gradient anew each time. Where many are taken at one point, as by Lanczos'
method, the graph pays off after the second (measured: 1.5 to 3 times less time a product).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from thalweg.data import ExampleSet
from thalweg.population.agreement import Named, compare
from thalweg.population.alone import moved, named_outputs
from thalweg.population.attention import Attentive, plain_attention
from thalweg.population.audit_draws import due_member
from thalweg.population.audits import found_other, one_of
from thalweg.population.batch import Batch
from thalweg.population.binding import Bound, call
from thalweg.population.execution import explained
from thalweg.population.layout import Vectors
from thalweg.population.looped import activations
from thalweg.population.padding import Padding
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.stacked import Stacked
from thalweg.randomness import generator

Product = Callable[[Vectors], Vectors]
_KEPT = 4  # copies of the activations that a graph of second derivatives keeps
_AUDITED = ("hessian", "fisher")  # which take all derivatives that there are
_VECTORS = 4  # of parameters that a member's product makes on its way
_PROBE = 256  # examples on which the memory of a member is measured


class GradientGraph:
    """The outputs of every member on one batch as a graph over theta, in evaluation mode.

    Args:
        problem, population, batch: what is evaluated; they are only read.

    Attributes:
        stacked: whether one call of the model gave the outputs of all members.

    Memory: the activations of all members on the batch, about four times over once a product is taken.
    """

    def __init__(self, problem: Problem, population: Population, batch: Batch) -> None:
        self.problem, self.layout, self.stacked = problem, population.layout, False
        views = self.layout.leaves(population.theta)
        self.leaves = [view.detach().requires_grad_() for view in views.values()]
        self.targets = batch.targets_of(slice(None), len(population))
        padding = Padding() if problem.pads(training=False) else contextlib.nullcontext()
        with torch.enable_grad(), padding:
            self.outputs = self._forward(population, batch)

    def hessian(self) -> Product:
        """v -> H v of every member's mean loss, backward over backward."""
        with torch.enable_grad():
            losses = self.problem.loss.mean(self.outputs, self.targets, 2)
            gradients = torch.autograd.grad(losses.sum(), self.leaves, create_graph=True, materialize_grads=True)
        curved = [place for place, gradient in enumerate(gradients) if gradient.requires_grad]

        def product(vectors: Vectors) -> Vectors:
            if not curved:
                return torch.zeros_like(vectors)
            parts = list(self.layout.views(vectors).values())
            return self._back([gradients[place] for place in curved], [parts[place] for place in curved])

        return product

    def gauss_newton(self) -> Product:
        """v -> J^T (d^2 loss / d outputs^2) J v of every member's mean loss."""
        leaves, form = tree_flatten(self.outputs)
        moving = [place for place, leaf in enumerate(leaves) if leaf.requires_grad]  # not classes, nor what is cut off
        outputs = [leaves[place] for place in moving]
        values = [output.detach().requires_grad_() for output in outputs]
        given = dict(enumerate(leaves)) | dict(zip(moving, values, strict=True))
        with torch.enable_grad():
            losses = self.problem.loss.mean(tree_unflatten(list(given.values()), form), self.targets, 2)
            gradients = torch.autograd.grad(losses.sum(), values, create_graph=True, materialize_grads=True)
        curved = [place for place, gradient in enumerate(gradients) if gradient.requires_grad]
        along = self._along(outputs)

        def product(vectors: Vectors) -> Vectors:
            changes = along(vectors)
            if not curved:
                return torch.zeros_like(vectors)
            chosen = [changes[place] for place in curved]
            weights = torch.autograd.grad(
                [gradients[place] for place in curved], values, chosen, retain_graph=True, materialize_grads=True
            )
            return self._back(outputs, weights)

        return product

    def fisher(self) -> Product:
        """v -> the (weighted) mean over examples of g (g . v) for their gradients g: the empirical Fisher matrix."""
        losses, weights, along = self._losses()
        if weights is None:
            return lambda vectors: self._back([losses], [along(vectors)[0] / losses.shape[1]])
        total = weights.sum(1, keepdim=True)
        shares = weights / total.masked_fill(total == 0, 1)
        return lambda vectors: self._back([losses], [along(vectors)[0] * shares])

    def jacobian(self) -> tuple[Callable[[Tensor], Vectors], Callable[[Vectors], Tensor]]:
        """u -> J^T u and v -> J v for the Jacobian J of outputs that are one tensor, u and J v being of its shape."""
        along = self._along([self.outputs])
        return lambda cotangents: self._back([self.outputs], [cotangents]), lambda vectors: along(vectors)[0]

    def directional_derivatives(self) -> Callable[[Vectors], Float[Tensor, "members batch"]]:
        """v -> how the loss of every example changes along v."""
        *_, along = self._losses()
        return lambda vectors: along(vectors)[0]

    def _losses(self) -> tuple[Tensor, Tensor | None, Callable[[Vectors], list[Tensor]]]:
        """Those of examples (members, batch), their weights or None, and v -> J v for their Jacobian."""
        with torch.enable_grad():
            losses, weights = self.problem.loss.entries(self.outputs, self.targets, 2)
        return losses, weights, self._along([losses])

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
        alone = self.problem.inspected(training=False).alone
        if len(population) > 1 and not alone and not self.problem.unstacked:
            try:
                stacked = Stacked(self.problem, population.with_own_buffers(), training=False)
                names = [entry.name for entry in self.layout]
                outputs = stacked.call(dict(zip(names, self.leaves, strict=True)), slice(None), batch)
            except Exception as error:  # whatever vmap cannot do is done member by member
                if isinstance(error, torch.OutOfMemoryError):
                    raise
            else:
                self.stacked = True
                return outputs
        return self._one_by_one(population, batch, alone=bool(alone))

    def _one_by_one(self, population: Population, batch: Batch, *, alone: bool) -> Any:
        population = population.with_own_buffers()
        bound = Bound(self.problem.template, population, training=False)
        results = []
        with plain_attention():
            for member in range(len(population)):
                if alone and member:  # whose backward pass may read its own
                    bound = Bound(self.problem.template, population, training=False)
                buffers = {name: buffer[member] for name, buffer in population.buffers.items()}
                bound.bind([leaf[member] for leaf in self.leaves], buffers)
                results.append(call(bound.module, batch.member(member)[0]))
        return tree_map(lambda *leaves: torch.stack(leaves), *results)


class GraphChunks:
    """Members and examples, cut so that the graph of each part fits the problem's memory budget.

    Args:
        problem, population: what is evaluated; they are only read.
        examples: the first `count` of them.

    Attributes:
        together: whether the graphs of all parts fit at once.
        attention: whether the model computes attention, in graphs by its formula.

    Raises:
        ModelError: the model or its loss fails on the examples.
    """

    def __init__(self, problem: Problem, population: Population, examples: ExampleSet, count: int) -> None:
        self.problem, self.population, self.examples, self.count = problem, population, examples, count
        batch = Batch.range(examples, 0, min(_PROBE, count))
        with explained(batch), Attentive() as attentive:
            example = _KEPT * activations(problem, population, batch, training=False).peak / batch.size
        self.attention, budget = attentive.seen, problem.memory_budget
        size = max(1, min(count, int(budget / example)))
        self.size = math.ceil(count / math.ceil(count / size))
        row = _VECTORS * population.layout.parameters * population.theta.element_size()
        self.rows = max(1, min(len(population), int(budget / (example * self.size + row))))
        self.together = example * count * len(population) <= budget
        if self.rows > 1 and not problem.unstacked and not problem.inspected(training=False).alone:
            self._audit()

    def _audit(self) -> None:
        """Now and then, do products of a member on some examples, at random, again alone, and loop where they differ.

        It is done before the first product, so none is of a graph that was found to be wrong.
        """
        audited = due_member(self.problem, "graphs", self.population)
        if audited is None:
            return
        number, member = audited
        first = member // self.rows * self.rows
        rows = slice(first, min(first + self.rows, len(self.population)))
        start = int(torch.randint(0, self.count, (), generator=generator(0, "audit examples", number)))
        start = start // self.size * self.size
        batch = Batch.range(self.examples, start, min(start + self.size, self.count))
        v = torch.randn(self.population.theta.shape[1:], generator=generator(0, "audit products", number))
        v = v.to(self.population.theta)

        def graph_of(members: Population, seen: Batch) -> GradientGraph:
            with explained(batch):
                return GradientGraph(self.problem, members, seen)

        def products(graph: GradientGraph, row: int) -> dict[str, Tensor]:
            found = named_outputs(one_of(graph.outputs, row), {})
            along = v.expand(len(graph.leaves[0]), -1)
            for name in _AUDITED:
                with contextlib.suppress(RuntimeError):  # that a matrix is not there is said where it is asked for
                    found[f"the {name} product"] = getattr(graph, name)()(along)[row : row + 1]
            return found

        one = self.population[member]

        def alone(size: float, draw: int) -> Named:
            there, seen = moved(one, batch, size, draw)
            return products(graph_of(there, seen), 0)

        graph = graph_of(self.population[rows], batch)
        if not graph.stacked:
            return
        found, wanted = products(graph, member - rows.start), alone(0.0, 0)
        both = {name: tensor for name, tensor in wanted.items() if name in found}
        difference = compare(found, both, alone, self.problem.precision)
        if difference is not None and not difference.rounding:
            found_other(self.problem, difference, f"member {member} in a derivative")

    def __iter__(self) -> Iterator[tuple[slice, slice, GradientGraph]]:
        """Some members, some examples, and their graph."""
        for start in range(0, self.count, self.size):
            some = slice(start, min(start + self.size, self.count))
            batch = Batch.range(self.examples, some.start, some.stop)
            for first in range(0, len(self.population), self.rows):
                rows = slice(first, min(first + self.rows, len(self.population)))
                with explained(batch):
                    graph = GradientGraph(self.problem, self.population[rows], batch.rows(rows))
                yield rows, some, graph
