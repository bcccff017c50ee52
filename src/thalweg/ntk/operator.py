"""The tangent kernel as an operator: its products with vectors, without forming it."""

from thalweg.data import ExampleSet
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.ntk.inputs import remarks_on_inputs
from thalweg.ntk.jacobians import Jacobians
from thalweg.population import Population, Problem
from thalweg.spectra import Operator
from thalweg.spectra.symmetry import Vectors


@guarded
def operator(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Operator:
    """The tangent kernel of every member on examples and outputs, known by its products.

        Theta = J J^T,    J = d f(x_i)_c / d theta,    entry i C + c for example i and output c of C

    What is measured of it is in `spectra` (top eigenvalues, trace, density), `extremes` and `solve`. It is not divided
    by the number of examples: gradient descent on the mean of (f - y)^2 / 2 over N examples moves by Theta / N. The
    model is in evaluation mode, and Theta that of the parameters that a pruning mask leaves.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> A = tw.ntk.operator(problem, problem.initialize(2), on=tw.Sample("train", 20))
    >>> A
    Operator(tangent kernel, members=2, outputs=200)
    >>> tw.spectra.top_eigenvalues(A, 1)["eigenvalue"].shape
    (2, 1)

    Args:
        problem, population: whose kernel; only read.
        on: the examples: "train", "test", examples of your own, or a `Sample` of them, drawn at random.

    Raises:
        UsageError: arguments that cannot be meant, or a model that returns several tensors.
        ModelError: a model that draws random numbers in evaluation mode, or whose derivative cannot be trusted.

    Cost: a product is about three backward passes on the examples, whatever the number of outputs, where the matrix
    itself takes one for every example and output. Memory: the graph of the outputs, in chunks of examples and members
    within the problem's budget; a graph that does not fit is made anew for every product.

    References:
        Jacot, Gabriel & Hongler (2018), arXiv:1806.07572; Novak, Sohl-Dickstein & Schoenholz (2022), arXiv:2206.08720,
        on products with the kernel.
    """
    drawn = as_sample("operator", on).draw(problem)
    notes = (f"On {drawn.text}, in evaluation mode.", *remarks_on_inputs(drawn.examples))
    return _on_examples(problem, population, drawn.examples, notes)


def _on_examples(problem: Problem, population: Population, examples: ExampleSet, notes: tuple[str, ...]) -> Operator:
    """The operator on examples that are drawn already."""
    jacobians = Jacobians("operator", problem, population, examples)
    members, count, outputs = jacobians.shape

    def product(vectors: Vectors) -> Vectors:
        return jacobians.push(jacobians.pull(vectors.view(members, count, outputs))).view(members, -1)

    return Operator(
        product,
        shape=(members, count * outputs),
        dtype=population.theta.dtype,
        device=population.theta.device,
        name="tangent kernel",
        dimension="outputs",
        sample_size=count,
        notes=notes,
        select=lambda some: _on_examples(problem, population[some], examples, notes),
        memory_budget=problem.memory_budget,
        check=False,  # the derivatives are checked already, once, on a few examples
    )
