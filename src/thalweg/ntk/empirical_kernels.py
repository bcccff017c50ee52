"""Tangent kernels of finite networks, as tensors."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from thalweg.errors import check_type
from thalweg.guard import guarded
from thalweg.ntk.gram.kernels import Work, kernels
from thalweg.population import Population, Problem

Outputs = Literal["full", "trace", "diagonal", "sum"]
Method = Literal["automatic", "layers", "jacobian", "products"]


@guarded
def empirical_kernels(
    problem: Problem,
    population: Population,
    inputs: Any,
    others: Any | None = None,
    *,
    outputs: Outputs = "full",
    method: Method = "automatic",
    memory_budget: int | None = None,
) -> Tensor:
    """The tangent kernel of every member as a tensor, for what computes on; `empirical` says all that belongs to it.

        Theta[x, x', c, c'] = sum over active parameters of (d f_c(x) / d theta) (d f_c'(x') / d theta)

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> inputs, _ = problem.data.train.slice(0, 5)
    >>> tw.ntk.empirical_kernels(problem, problem.initialize(3), inputs).shape
    torch.Size([3, 5, 5, 10, 10])

    Args:
        problem, population: only read.
        inputs: of the rows' examples, as the model takes them: (examples, ...).
        others: of the columns' examples; None: the same.
        outputs, method, memory_budget: see `empirical`.

    Returns:
        in the problem's dtype: "full" (members, examples, others, outputs, outputs), "trace" and "sum" (members,
        examples, others), "diagonal" (members, examples, outputs).

    Raises:
        UsageError, ModelError: as `empirical`.

    Cost: see `empirical`.
    """
    check_type(
        "empirical_kernels inputs", inputs, (Tensor, tuple, list, Mapping), "as the model takes them, such as x[:5]"
    )
    work = Work.of(problem, population, inputs, others, outputs, _whole)
    return kernels(work, work.chosen(method), memory_budget, _whole, lambda done, total: None)["kernel"]


def _whole(parameter: str) -> str:
    return "kernel"
