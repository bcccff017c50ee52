"""The three curvature matrices of a mean loss, as operators on the columns of theta."""

from collections.abc import Iterator

import torch

from thalweg.data import ExampleSet
from thalweg.errors import check_type
from thalweg.evaluation.evaluate import shares
from thalweg.evaluation.sample import Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.population.gradient_graph import GraphChunks, Product, Vectors
from thalweg.spectra import Operator

_NAMES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}
_ATTENTION = "Attention was computed by its formula, since the fused kernels have no second derivative."


@guarded
def hessian(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Operator:
    """The Hessian of every member's mean loss: the matrix of second derivatives d^2 loss / d theta^2.

    What is measured of it is in `spectra`; several measurements share what is computed here. The model is in evaluation
    mode, so normalization layers keep their running statistics. The matrix is restricted to the parameters that a
    pruning mask leaves.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> tw.curvature.hessian(problem, problem.initialize(2), on=tw.Sample("train", 100))
    Operator(Hessian, members=2, parameters=610)

    Args:
        problem: what is minimized.
        population: where; only read.
        on: the examples of the mean: "train", "test", examples of your own, or a `Sample` of them, drawn at random.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model that draws random numbers in evaluation mode, that has no second derivative which can be
            trusted (see `population.double_backward`), or that fails on the examples.

    Cost: a product is one backward pass through the graph of the gradient, about two gradients (Pearlmutter, 1994,
    doi:10.1162/neco.1994.6.1.147). That graph is kept where it fits the problem's memory budget, and made anew for
    every product, which is one gradient more, where it does not. Batches weigh by their sizes, or by the sums of
    their weights, where the loss is weighted.
    """
    return _operator("hessian", problem, population, on)


@guarded
def gauss_newton(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Operator:
    """The Gauss-Newton matrix of every member's mean loss: the mean over examples of J^T (d^2 loss / d outputs^2) J.

    J is the Jacobian of an example's outputs in theta. It is the Hessian without the curvature of the model itself, and
    has no negative eigenvalue where the loss is convex in the outputs (Schraudolph, 2002,
    doi:10.1162/08997660260028683).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> A = tw.curvature.gauss_newton(problem, problem.initialize(1), on=tw.Sample("train", 100))
    >>> bool(tw.spectra.top_eigenvalues(A, 1, which="smallest")["eigenvalue"][0, 0] > -1e-6)
    True

    Args:
        problem, population, on: see `hessian`, also for what is raised and the cost; a product is about three backward
            passes.
    """
    return _operator("gauss_newton", problem, population, on)


@guarded
def fisher(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Operator:
    """The empirical Fisher matrix of every member: the mean over examples of g g^T for their gradients g.

    Where the loss is weighted it is sum_i w_i g_i g_i^T / sum_i w_i, for the weight w_i of an example, the sum of those
    of its positions, and the gradient g_i of its own loss, which is their weighted mean.

    Targets are the true ones, not drawn from the model, so it is not the Fisher information (Kunstner et al., 2019,
    arXiv:1905.12558, on what follows).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> tw.curvature.fisher(problem, problem.initialize(1), on="test")
    Operator(empirical Fisher matrix, members=1, parameters=610)

    Args:
        problem, population, on: see `hessian`, also for what is raised and the cost; a product is about three backward
            passes.
    """
    return _operator("fisher", problem, population, on)


@guarded
def block(A: Operator, population: Population, *names: str) -> Operator:
    """The block of a curvature matrix on some tensors of the model: the same operator with no other parameters active.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> population = problem.initialize(1)
    >>> A = tw.curvature.hessian(problem, population, on=tw.Sample("train", 100))
    >>> int(tw.curvature.block(A, population, "output.bias").active.sum())
    10

    Args:
        A: such as `hessian(problem, population)`.
        population: whose layout has the tensors.
        names: of tensors, such as "hidden1.weight".

    Raises:
        UsageError: no such tensor.
    """
    check_type("block population", population, Population, "a Population such as run.final")
    layout = population.layout
    return A.block(layout.mark(layout[name] for name in names), f"{A.name}'s block of {', '.join(names)}")


def _operator(matrix: str, problem: Problem, population: Population, on: Sample | str | ExampleSet) -> Operator:
    check_type(f"{matrix} problem", problem, Problem, "a Problem")
    check_type(f"{matrix} population", population, Population, "a Population such as run.final")
    problem.check(population)
    drawn = as_sample(matrix, on).draw(problem)
    check_differentiable(problem)
    check_twice_differentiable(problem, matrix)
    return _on_examples(matrix, problem, population, drawn.examples, drawn.text)


def _on_examples(matrix: str, problem: Problem, population: Population, examples: ExampleSet, text: str) -> Operator:
    """The operator of a checked problem on examples that are drawn already."""
    products = _Products(matrix, problem, population, examples)
    attention = (_ATTENTION,) if products.chunks.attention else ()
    return Operator(
        products,
        shape=(len(population), population.layout.parameters),
        dtype=population.theta.dtype,
        device=population.theta.device,
        active=population.mask,
        name=_NAMES[matrix],
        dimension="parameters",
        sample_size=len(examples),
        notes=(f"On {text}, in evaluation mode.", *attention),
        select=lambda members: _on_examples(matrix, problem, population[members], examples, text),
        memory_budget=problem.memory_budget,
        check=False,  # the problem is checked already, once, on a few examples
    )


class _Products:
    """Products of one matrix: from graphs that are kept where they fit the memory budget, or made anew each time."""

    def __init__(self, matrix: str, problem: Problem, population: Population, examples: ExampleSet) -> None:
        self.matrix = matrix
        self.chunks = GraphChunks(problem, population, examples, len(examples))
        self.shares = shares(problem, population, examples, self.chunks.size)
        self.kept = list(self._parts()) if self.chunks.together else None

    def __call__(self, vectors: Vectors) -> Vectors:
        total = torch.zeros_like(vectors)
        for rows, weight, product in self._parts() if self.kept is None else self.kept:
            total[rows] += weight * product(vectors[rows])
        return total

    def _parts(self) -> Iterator[tuple[slice, float, Product]]:
        """Members, the share of a batch in the mean, and the product on it."""
        for rows, some, graph in self.chunks:
            yield rows, self.shares[some.start // self.chunks.size], getattr(graph, self.matrix)()
