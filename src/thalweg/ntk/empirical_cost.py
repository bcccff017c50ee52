"""What a tangent kernel takes, counted before it is computed."""

from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.data import ExampleSet
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.ntk.empirical_kernels import Outputs
from thalweg.ntk.gram.kernels import Work
from thalweg.population import Population, Problem
from thalweg.results import Summarized, Table

_WORDS = {"products": "factors", "sums": "factors", "gradients": "gradients"}


@dataclass(frozen=True)
class EmpiricalCost(Summarized):
    """Multiply-adds of every method for the kernel of one member; what `empirical_cost` returns.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> cost = tw.ntk.empirical_cost(problem, problem.initialize(1), on=tw.Sample("train", 50))
    >>> cost.method, cost.ways["hidden1.weight"]
    ('layers', 'factors')

    Args:
        counts: by method.
        ways: how "layers" has every parameter: by "factors" (inputs and cotangents of the operations that use it) or by
            its "gradients".
        note: why no parameter is had by factors, where the model's operations cannot be followed.
    """

    counts: Mapping[str, int]
    ways: Mapping[str, str]
    note: str = ""

    @property
    def method(self) -> str:
        """The one of the fewest, which method="automatic" takes."""
        return min(self.counts, key=lambda name: self.counts[name])

    def facts(self) -> dict[str, str]:
        """The counts."""
        return {name: f"{count:.2e} multiply-adds" for name, count in self.counts.items()} | {"fewest": self.method}

    def details(self) -> Table:
        """How every parameter is had."""
        return Table({"parameter": list(self.ways), "by": list(self.ways.values())})

    def remarks(self) -> tuple[str, ...]:
        """The note."""
        return (self.note,) if self.note else ()


@guarded
def empirical_cost(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet = "train",
    against: Sample | str | ExampleSet | None = None,
    *,
    outputs: Outputs = "full",
) -> EmpiricalCost:
    """What `empirical` would take, by each of its methods.

    Counted are products of matrices and convolutions, in multiply-adds of one member: F of a pass forward of one
    example, 2 F back to parameters, F back to inputs alone; then what the contraction takes.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> tw.ntk.empirical_cost(problem, problem.initialize(1), on=tw.Sample("train", 50)).counts["jacobian"] // 10**6
    152

    Args:
        problem, population, on, against, outputs: as of `empirical`.

    Raises:
        UsageError, ModelError: as `empirical`.

    Cost: one trace of the model and one pass of one example.
    """
    rows = as_sample("empirical_cost", on).draw(problem).examples
    columns = None if against is None else as_sample("empirical_cost", against).draw(problem).examples
    inputs, others = (None if one is None else one.slice(0, len(one))[0] for one in (rows, columns))
    work = Work.of(problem, population, inputs, others, outputs, lambda name: "kernel")
    return cost_of(work)


def cost_of(work: Work) -> EmpiricalCost:
    """That of a kernel that is wanted."""
    ways = {part.name: _WORDS[part.way] for part in work.plan.parts}
    ways |= {part.bias: _WORDS[part.way] for part in work.plan.parts if part.bias}
    return EmpiricalCost(work.counts(), {name: ways[name] for name in work.plan.sizes}, work.plan.note)
