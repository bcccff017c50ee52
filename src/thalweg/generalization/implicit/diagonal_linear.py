"""The diagonal linear network: the smallest model in which the noise of SGD chooses the solution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.data import Data, Examples
from thalweg.errors import UsageError, check_count, check_type
from thalweg.population import Population
from thalweg.randomness import generator


class DiagonalLinear(nn.Module):
    """f(x) = sum_j (u_j^2 - v_j^2) x_j, with u = v = start: linear in x, but not in its weights.

    From a small start descent prefers few large coefficients, from a large one small coefficients of all inputs, as
    linear regression does; noise of the gradients acts as a smaller start.

    >>> import torch
    >>> import thalweg as tw
    >>> model = tw.generalization.implicit.DiagonalLinear(3, start=0.1)
    >>> model(torch.ones(2, 3)).tolist()
    [[0.0], [0.0]]

    Args:
        inputs: how many.
        start: of all of u and v, above 0; at 0 nothing moves.

    Raises:
        UsageError: a start that is not above 0, or no inputs.

    References:
        Woodworth et al. (2020), arXiv:2002.09277; Pesme, Pillaud-Vivien & Flammarion (2021), arXiv:2106.09524.
    """

    def __init__(self, inputs: int, *, start: float = 0.1) -> None:
        super().__init__()
        check_count("DiagonalLinear inputs", inputs)
        check_type("DiagonalLinear start", start, (int, float), "a number such as 0.1")
        if not 0 < start < math.inf:
            msg = f"DiagonalLinear start must be above 0, as at 0 the gradient is 0; got {start}."
            raise UsageError(msg)
        self.u = nn.Parameter(torch.full((inputs,), float(start)))
        self.v = nn.Parameter(torch.full((inputs,), float(start)))

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch 1"]:
        """The outputs."""
        return x @ (self.u**2 - self.v**2)[:, None]


def effective_coefficients(population: Population) -> Float[Tensor, "members inputs"]:
    """u^2 - v^2 of every member of diagonal linear networks: the linear function that each is.

    >>> import thalweg as tw
    >>> implicit = tw.generalization.implicit
    >>> data = implicit.sparse_linear(5, 3, nonzero=1)
    >>> problem = tw.Problem(lambda: implicit.DiagonalLinear(3), data, "squared_error")
    >>> implicit.effective_coefficients(problem.initialize(2)).shape
    torch.Size([2, 3])

    Args:
        population: of `DiagonalLinear`.

    Raises:
        UsageError: another model.
    """
    check_type("effective_coefficients population", population, Population, "a Population such as run.final")
    views = population.layout.views(population.theta)
    if set(views) != {"u", "v"}:
        msg = f"effective_coefficients are those of DiagonalLinear, with u and v; got a model with {', '.join(views)}."
        raise UsageError(msg)
    return views["u"] ** 2 - views["v"] ** 2


def sparse_linear(
    examples: int, inputs: int = 100, *, nonzero: int = 5, noise: float = 0.0, seed: int = 0, test: int = 0
) -> Data:
    """y = x . beta + noise e with x ~ N(0, I) and a beta of a few coefficients of 1 and -1, the others being 0.

    `ground_truth["coefficients"]` is beta (inputs, 1); the risk of an estimate is |estimate - beta|^2, exactly. For a
    draw of each seed, `data.pooled([sparse_linear(40, seed=s).train for s in seeds])` gives the examples of all, and
    the table that `train` takes.

    >>> import thalweg as tw
    >>> data = tw.generalization.implicit.sparse_linear(40, 100)
    >>> len(data.train), data.ground_truth["coefficients"].abs().sum().item()
    (40, 5.0)

    Args:
        examples: of the training set; targets are (examples, 1), float32.
        inputs: how many.
        nonzero: how many of them matter.
        noise: the standard deviation of that of the targets.
        seed: of inputs, of which coefficients are not 0 and of their signs.
        test: held-out examples; 0 for none.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Woodworth et al. (2020), arXiv:2002.09277.
    """
    check_count("sparse_linear examples", examples)
    check_count("sparse_linear inputs", inputs)
    check_count("sparse_linear nonzero", nonzero)
    check_count("sparse_linear test", test, least=0)
    if nonzero > inputs or not 0 <= noise < math.inf:
        msg = f"sparse_linear needs nonzero <= inputs and noise >= 0; got {nonzero} of {inputs} and {noise}."
        raise UsageError(msg)
    draw = generator(seed, "sparse linear")
    beta = torch.zeros(inputs, 1)
    chosen = torch.randperm(inputs, generator=draw)[:nonzero]
    beta[chosen, 0] = torch.randint(2, (nonzero,), generator=draw).float() * 2 - 1

    def drawn(count: int) -> Examples:
        x = torch.randn(count, inputs, generator=draw)
        return Examples(x, x @ beta + noise * torch.randn(count, 1, generator=draw))

    return Data(
        drawn(examples),
        drawn(test) if test else None,
        name="sparse_linear",
        notes=(f"{nonzero} of {inputs:,} coefficients are 1 or -1, noise {noise:g} (seed {seed})",),
        ground_truth={"coefficients": beta},
    )
