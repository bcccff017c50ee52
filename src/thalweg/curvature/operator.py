"""Curvature matrices as operators: products with vectors, never the matrix."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.data import Examples, Streamed
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.population.linearized import Linearized, Product, Vectors
from thalweg.population.looped import activation_bytes

MATRICES = ("hessian", "gauss_newton", "fisher")
SPOKEN = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}
_ATTENTION = "Attention was computed by its formula, for the fused kernels have no second derivative."
_KEPT = 4  # copies of the activations that a graph of second derivatives keeps
_PROBE = 256  # examples on which the memory of a member is measured


@dataclass(eq=False)
class Operator:
    """A symmetric matrix for every member, of the mean loss over examples: called with v it returns A v.

    A is "hessian", "gauss_newton" (J^T (d^2 loss/d outputs^2) J) or "fisher" (empirical: the mean of g g^T over the
    gradients of examples). The model is in evaluation mode, so normalization layers keep their statistics. Masked
    parameters have no curvature: A is restricted to those that live.

    Args:
        problem: what is minimized.
        population: where; only read.
        matrix: which of the three.
        examples: None is the training set.
        limit: only the first so many examples; None is all.
        scale: s of S A S with S = diag(s), (parameters,) or theta's shape: a block of A where s is 0 or 1, a
            preconditioned matrix where it is P^(-1/2). None is A itself.

    Attributes:
        products: of all members with one vector each over all examples, so far.
        notes: sentences that belong to every reading of it.

    Raises:
        UsageError: an unknown matrix, or a scale that does not fit.
        ModelError: a model that draws random numbers in evaluation mode.

    Cost: a product is one backward pass through the graph of the gradient, about two gradients; where that graph does
    not fit the problem's memory budget it is made anew, which is one more. Batches weigh by their sizes.
    """

    problem: Problem
    population: Population
    matrix: str = "hessian"
    examples: Examples | Streamed | None = None
    limit: int | None = None
    scale: Float[Tensor, "*members parameters"] | None = None
    products: int = field(init=False, default=0)
    notes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        check_type("Operator problem", self.problem, Problem, "a Problem")
        check_type("Operator population", self.population, Population, "a Population such as run.final")
        check_choice("Operator matrix", self.matrix, MATRICES)
        self.problem.check(self.population)
        check_differentiable(self.problem)
        self.examples = self.problem.data.train if self.examples is None else self.examples
        if self.limit is not None:
            check_count("Operator limit", self.limit)
        self.count = len(self.examples) if self.limit is None else min(self.limit, len(self.examples))
        self.scale = self._scale()
        batch = Batch.range(self.examples, 0, min(_PROBE, self.count))
        example = _KEPT * activation_bytes(self.problem, self.population, batch, training=False) / batch.size
        budget = self.problem.memory_budget
        self._size = max(1, min(self.count, int(budget / example)))
        self._size = math.ceil(self.count / math.ceil(self.count / self._size))
        self._rows = max(1, min(len(self.population), int(budget / (example * self._size))))
        whole = example * self.count * len(self.population)
        self._graphs: list[tuple[slice, float, Product]] | None = list(self._parts()) if whole <= budget else None

    @property
    def shape(self) -> tuple[int, int]:
        """(members, parameters) of the vectors."""
        return tuple(self.population.theta.shape)  # type: ignore[return-value]

    def __call__(self, vectors: Vectors) -> Vectors:
        """A v, one row a member."""
        if tuple(vectors.shape) != self.shape:
            msg = f"An operator takes vectors of theta's shape {self.shape}, one a member; got {tuple(vectors.shape)}."
            raise UsageError(msg)
        inner = vectors if self.scale is None else vectors * self.scale
        total = torch.zeros_like(vectors)
        for rows, weight, product in self._parts() if self._graphs is None else self._graphs:
            total[rows] += weight * product(inner[rows])
        self.products += 1
        return total if self.scale is None else total.mul_(self.scale)

    def gaussian(self, generator: torch.Generator) -> Vectors:
        """Standard normal vectors on what the operator sees, the same for every member."""
        draw = torch.randn(self.shape[1], generator=generator, dtype=torch.float64)
        return self._seen(draw)

    def signs(self, generator: torch.Generator) -> Vectors:
        """Vectors of +1 and -1 on what the operator sees, the same for every member."""
        draw = torch.randint(2, (self.shape[1],), generator=generator, dtype=torch.float64) * 2 - 1
        return self._seen(draw)

    def _seen(self, draw: Tensor) -> Vectors:
        theta = self.population.theta
        vectors = draw.to(theta).expand(self.shape)
        return vectors.clone() if self.scale is None else vectors * (self.scale != 0)

    def _parts(self) -> Iterator[tuple[slice, float, Product]]:
        """Members, the share of the examples in a batch, and the product on it."""
        examples: Any = self.examples
        for start in range(0, self.count, self._size):
            batch = Batch.range(examples, start, min(start + self._size, self.count))
            for first in range(0, self.shape[0], self._rows):
                rows = slice(first, min(first + self._rows, self.shape[0]))
                graph = Linearized(self.problem, self.population[rows], batch.rows(rows))
                if graph.attention:
                    self.notes = (_ATTENTION,)
                yield rows, batch.size / self.count, getattr(graph, self.matrix)()

    def _scale(self) -> Tensor | None:
        theta, mask = self.population.theta, self.population.mask
        if self.scale is None:
            return None if mask is None else mask.to(theta)
        check_type("Operator scale", self.scale, Tensor, "a tensor (parameters,) or of theta's shape")
        if tuple(self.scale.shape) not in ((self.shape[1],), self.shape):
            msg = f"Operator scale must be ({self.shape[1]},) or {self.shape}; got {tuple(self.scale.shape)}."
            raise UsageError(msg)
        scale = self.scale.to(theta).expand(self.shape)
        return scale if mask is None else scale * mask


def block(population: Population, *names: str) -> Float[Tensor, " parameters"]:
    """The scale that leaves the block of A on some tensors: 1 on their columns, 0 elsewhere.

    Args:
        population: whose layout has the tensors.
        names: of tensors, such as "layers.0.weight".

    Raises:
        UsageError: no such tensor.
    """
    scale = torch.zeros(population.layout.parameters, dtype=population.theta.dtype)
    for name in names:
        scale[population.layout[name].columns] = 1
    return scale
