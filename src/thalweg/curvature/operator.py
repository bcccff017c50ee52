"""Curvature matrices as operators: products with vectors, never the matrix."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import NoneType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.data import Examples, ExampleSet, LazyExamples
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.population import Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.population.gradient_graph import GraphChunks, Product, Vectors

MATRICES = ("hessian", "gauss_newton", "fisher")
SPOKEN = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}
_ATTENTION = "Attention was computed by its formula, for the fused kernels have no second derivative."


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
        UsageError: an unknown matrix, what are no examples, or a scale that does not fit.
        ModelError: a model that draws random numbers in evaluation mode, that has no second derivative which can be
            trusted (see `check_twice_differentiable`), or that fails on the examples.

    Cost: a product is one backward pass through the graph of the gradient, about two gradients; where that graph does
    not fit the problem's memory budget it is made anew, which is one more. Batches weigh by their sizes.
    """

    problem: Problem
    population: Population
    matrix: str = "hessian"
    examples: ExampleSet | None = None
    limit: int | None = None
    scale: Float[Tensor, "*members parameters"] | None = None
    products: int = field(init=False, default=0)
    notes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        check_type("Operator problem", self.problem, Problem, "a Problem")
        check_type("Operator population", self.population, Population, "a Population such as run.final")
        check_choice("Operator matrix", self.matrix, MATRICES)
        self.problem.check(self.population)
        kinds = (Examples, LazyExamples, NoneType)
        check_type("Operator examples", self.examples, kinds, "examples such as problem.data.test")
        check_differentiable(self.problem)
        check_twice_differentiable(self.problem, self.matrix)
        self.examples = self.problem.data.train if self.examples is None else self.examples
        if self.limit is not None:
            check_count("Operator limit", self.limit)
        self.count = len(self.examples) if self.limit is None else min(self.limit, len(self.examples))
        self.scale = self._scale()
        self._parts = GraphChunks(self.problem, self.population, self.examples, self.count)
        self._graphs = list(self._products()) if self._parts.together else None

    @property
    def shape(self) -> tuple[int, int]:
        """(members, parameters) of the vectors."""
        return tuple(self.population.theta.shape)  # type: ignore[return-value]

    @property
    def seen(self) -> Bool[Tensor, "members parameters"]:
        """Which parameters of which member it sees: those that live, within its scale."""
        whole = torch.ones(self.shape, dtype=torch.bool, device=self.population.theta.device)
        return whole if self.scale is None else self.scale != 0

    def __call__(self, vectors: Vectors) -> Vectors:
        """A v, one row a member."""
        if tuple(vectors.shape) != self.shape:
            msg = f"An operator takes vectors of theta's shape {self.shape}, one a member; got {tuple(vectors.shape)}."
            raise UsageError(msg)
        inner = vectors if self.scale is None else vectors * self.scale
        total = torch.zeros_like(vectors)
        for rows, weight, product in self._products() if self._graphs is None else self._graphs:
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

    def _products(self) -> Iterator[tuple[slice, float, Product]]:
        """Members, the share of the examples in a batch, and the product on it."""
        for rows, seen, graph in self._parts:
            if graph.attention:
                self.notes = (_ATTENTION,)
            yield rows, (seen.stop - seen.start) / self.count, getattr(graph, self.matrix)()

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
