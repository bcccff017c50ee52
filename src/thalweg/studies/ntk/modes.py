"""Networks along training in the eigenbases of kernels: rates of modes, and the loss that a spectrum predicts."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.evaluation import Evaluator
from thalweg.population import Population
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import descent, own_kernels, problem_of
from thalweg.studies.ntk.subsets import TRAIN, Sets, as_large
from thalweg.studies.ntk.wide import ARMS
from thalweg.training import Observed, train

Array = NDArray[np.float64]
LEVEL = 0.01  # of the first loss


@dataclass(frozen=True, eq=False)
class Followed:
    """Networks along training.

    Args:
        rate: of gradient descent on 1/2 sum (f - y)^2.
        steps: looked at, the first of which is 0.
        residual: f - y after the steps looked at, (seeds, steps, n).
        first, last: kernels of the examples before and after training, (seeds, n, n).
    """

    rate: float
    steps: Float[Tensor, " steps"]
    residual: Float[Tensor, "seeds steps n"]
    first: Float[Tensor, "seeds n n"]
    last: Float[Tensor, "seeds n n"]

    @property
    def loss(self) -> Float[Tensor, "seeds steps"]:
        """As a share of the first."""
        squares = self.residual.square().sum(2)
        return squares / squares[:, :1]


def followed(lab: Lab, sets: Sets, arm: str, width: int, rate: float, steps: int) -> Followed:
    """Train in float64 and look at the answers to the training examples along the way, ever more rarely."""
    at = sorted({0, *np.geomspace(1, steps, 120).round().astype(int).tolist()})
    kind, inputs, rows = ARMS[arm], sets.inputs[:, :TRAIN].double(), sets.rows[:, :TRAIN]
    problem = problem_of(lab, sets.data, kind.widths(width), kind.activation, dtype=torch.float64)
    evaluators: list[Evaluator] = []  # one for all steps, which reads the networks where they are

    def answers(step: int, population: Population, rows: Tensor) -> Tensor:
        if not evaluators or evaluators[0].population is not population:  # these are other members
            evaluators[:] = [Evaluator(problem, population, problem.data.train, rows=rows, plan="stacked")]
        return evaluators[0].outputs()[..., 0]

    recipe = descent(rate, steps, TRAIN)
    told = lab.labelled(f"{arm}, width {width}")
    look = Observed(answers, at=at, own=[rows])
    run = train(problem, recipe, sets.seeds, examples=rows, observe=look, progress=told, workers=lab.workers)
    start = problem.initialize(sets.seeds)
    first, last = (own_kernels(problem, networks, inputs) for networks in (start, run.final))
    seen = torch.from_numpy(look.values).transpose(0, 1).contiguous()
    residual = seen - sets.targets[..., 0].double()[:, None]
    return Followed(rate, torch.tensor(at, dtype=torch.float64), residual, first, last)


def steps_error(one: Followed, kernel: Tensor) -> Array:
    """How far the steps to 1 % of the loss are from those that a kernel predicts, relative to them: (seeds,)."""
    return np.abs(steps_to_level(one, predicted_loss(one, kernel)) / steps_to_level(one, one.loss) - 1)


def rate_error(one: Followed, kernel: Tensor, *, common: bool = False) -> Array:
    """How far the rates of a kernel's modes are from its eigenvalues', relative to these: (seeds,).

    The rate of a mode is that of the best exponential through its start, by least squares of logarithms while more
    than 1/e of it is left; it is predicted as -log(1 - rate x eigenvalue). The mean over modes has their first
    squares as weights.

    Args:
        one: networks.
        kernel: whose eigenvectors the modes are.
        common: whether all eigenvalues are replaced by their mean.
    """
    values, vectors = torch.linalg.eigh(kernel)
    if common:
        values = values.mean(1, keepdim=True).expand_as(values)
    modes, steps = one.residual @ vectors, one.steps[:, None]
    decay = (modes / modes[:, :1]).abs().log()
    inside = (decay > -1).to(decay).cummin(1).values
    inside[:, 1] = 1  # a wrong kernel's mode may be below at once
    weighed = steps * inside
    measured = -(weighed * decay.where(inside > 0, 0)).sum(1) / (weighed * steps).sum(1)
    wrong = (measured / -torch.log1p(-one.rate * values) - 1).abs()
    weights = modes[:, 0].square()
    return ((weights * wrong).sum(1) / weights.sum(1)).numpy()


def predicted_loss(one: Followed, kernel: Tensor) -> Float[Tensor, "seeds steps"]:
    """The loss that a kernel's spectrum and the first residual's projections predict, as a share of the first."""
    values, vectors = torch.linalg.eigh(kernel)
    weights = (one.residual[:, :1] @ vectors).square()
    return (weights * (1 - one.rate * values[:, None]) ** (2 * one.steps[:, None])).sum(2) / weights.sum(2)


def steps_to_level(one: Followed, loss: Float[Tensor, "seeds steps"]) -> Array:
    """Where a loss first crosses 1 %, between steps by straight lines of its logarithm; infinite if nowhere: (seeds,).

    What a kernel predicts is read at the same steps as what is seen, so that both err by the same lines.
    """
    logs, found, steps = np.log(loss.numpy() / LEVEL), np.full(len(loss), np.inf), one.steps.numpy()
    for seed, row in enumerate(logs):
        if (row <= 0).any():
            after = int((row <= 0).argmax())
            found[seed] = np.interp(0, row[[after, after - 1]], steps[[after, after - 1]])
    return found


def steps_by_smallest(one: Followed) -> Array:
    """The steps to 1 % of the loss if all of it went at the rate of the smallest eigenvalue: (seeds,)."""
    smallest = torch.linalg.eigvalsh(one.first)[:, 0]
    return (np.log(LEVEL) / (2 * torch.log1p(-one.rate * smallest))).numpy()


def tail_error(one: Followed) -> Array:
    """Of the bottom mode of the last kernel: its rate in the second half of the steps, relative to the predicted."""
    values, vectors = torch.linalg.eigh(one.last)
    late = one.steps >= one.steps[-1] / 2
    logs = (one.residual[:, late] @ vectors[:, :, :1])[..., 0].abs().log()
    apart = one.steps[late] - one.steps[late].mean()
    measured = -(apart * logs).sum(1) / apart.square().sum()
    return (measured / -torch.log1p(-one.rate * values[:, 0]) - 1).abs().numpy()


def errors_of(one: Followed, right: Tensor, nngp: Tensor) -> dict[str, Array]:
    """Errors of predictions by the kernel of each network, by those of infinite width, and by eigenvalues alone."""
    observed, gaussian = steps_to_level(one, one.loss), as_large(nngp, right)
    return {
        "own, rates": rate_error(one, one.first),
        "own, steps": steps_error(one, one.first),
        "analytic, rates": rate_error(one, right),
        "analytic, steps": steps_error(one, right),
        "NNGP, rates": rate_error(one, gaussian),
        "NNGP, steps": steps_error(one, gaussian),
        "trace / n, rates": rate_error(one, one.first, common=True),
        "lambda_min, steps / steps taken": steps_by_smallest(one) / observed,
    }
