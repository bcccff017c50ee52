"""The Jacobian of every member's outputs on examples, by its products with vectors from either side."""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import outputs
from thalweg.population import Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.population.gradient_graph import GraphChunks
from thalweg.population.layout import Vectors

Outputs = Float[Tensor, "members examples outputs"]
Pull = Callable[[Outputs], Vectors]
Push = Callable[[Vectors], Outputs]


class Jacobians:
    """J, the derivative of the outputs (examples, outputs) in theta, in evaluation mode; nothing of its size is formed.

    Outputs of any shape are flattened; J is restricted to the parameters that a pruning mask leaves.

    Args:
        name: the function that asks, for errors.
        problem, population: what is differentiated, and where; only read.
        examples: on what.

    Attributes:
        outputs: how many an example has.

    Raises:
        UsageError: arguments that cannot be meant, or a model that returns several tensors.
        ModelError: a model that draws random numbers in evaluation mode, or whose derivative cannot be trusted.

    Memory: graphs are kept where they fit the problem's budget, and made anew for every product where they do not.
    """

    def __init__(self, name: str, problem: Problem, population: Population, examples: ExampleSet) -> None:
        check_type(f"{name} problem", problem, Problem, "a Problem")
        check_type(f"{name} population", population, Population, "a Population such as run.final")
        problem.check(population)
        check_differentiable(problem)
        check_twice_differentiable(problem, "fisher")  # of the three, what a derivative along a vector needs
        self.population, self.examples = population, examples
        first = outputs(problem, population[0], on=examples.select(torch.tensor([0])))
        if not isinstance(first, Tensor) or not first.is_floating_point():
            msg = (
                f"{name} needs a model that returns one tensor of numbers, but this one returns "
                f"{type(first).__name__}; wrap it in a module that returns the outputs whose kernel you mean."
            )
            raise UsageError(msg)
        self.outputs = first[0, 0].numel()
        self.chunks = GraphChunks(problem, population, examples, len(examples))
        self._kept = list(self._parts()) if self.chunks.together else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(members, examples, outputs)."""
        return len(self.population), len(self.examples), self.outputs

    @property
    def chunks_in_all(self) -> int:
        """How many parts there are."""
        members, examples, _ = self.shape
        return math.ceil(members / self.chunks.rows) * math.ceil(examples / self.chunks.size)

    def pull(self, cotangents: Outputs) -> Vectors:
        """J^T u: (members, parameters). Cost: one backward pass."""
        total = torch.zeros_like(self.population.theta)
        for rows, some, pull, _ in self.parts():
            total[rows] += pull(cotangents[rows, some])
        return total

    def push(self, vectors: Vectors) -> Outputs:
        """J v: (members, examples, outputs). Cost: about two backward passes."""
        found = self.population.theta.new_empty(self.shape)
        for rows, some, _, push in self.parts():
            found[rows, some] = push(vectors[rows])
        return found

    def parts(self) -> Iterator[tuple[slice, slice, Pull, Push]]:
        """Some members, some examples, and u -> J^T u and v -> J v for these."""
        yield from self._parts() if self._kept is None else self._kept

    def _parts(self) -> Iterator[tuple[slice, slice, Pull, Push]]:
        for rows, some, graph in self.chunks:
            shape = graph.outputs.shape
            pull, push = graph.jacobian()
            mask = None if self.population.mask is None else self.population.mask[rows]
            yield rows, some, _pulling(pull, shape, mask), _pushing(push, shape, mask)


def _pulling(pull: Callable[[Tensor], Vectors], shape: torch.Size, mask: Tensor | None) -> Pull:
    def product(cotangents: Outputs) -> Vectors:
        found = pull(cotangents.reshape(shape))
        return found if mask is None else found * mask

    return product


def _pushing(push: Callable[[Vectors], Tensor], shape: torch.Size, mask: Tensor | None) -> Push:
    return lambda vectors: push(vectors if mask is None else vectors * mask).reshape(*shape[:2], -1)
