"""How smoothly a network's answers vary with its inputs."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.population.padding import Padding
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
_AT_ONCE = 256  # examples


@dataclass(frozen=True, eq=False)
class InputJacobian(Result):
    """What `input_jacobian` found.

    Args:
        reading: by member (member,): "norm", the mean over examples of |J|_F, and "mean square", of |J|_F^2, with
            standard errors over examples and probes; where targets are classes "margin", the median over examples, and
            "norm per margin", NaN where the median is not above 0. By member and example, (member, example):
            "norm of example".
    """


@guarded
def input_jacobian(
    problem: Problem,
    population: Population,
    *,
    on: Sample | str | ExampleSet = "test",
    probes: int | None = None,
    seed: int = 0,
) -> InputJacobian:
    """The size of the derivative of every member's outputs in the inputs, and that per unit of margin.

        J(x) = d z(x) / d x,    norm = mean over x of |J(x)|_F
        margin = median over x of z_y(x) - max over other classes of z(x)

    of the outputs z, minus their mean over classes where targets are classes, as a constant on all logits changes no
    answer. With probes, |J|_F^2 is estimated by the squares of J^T u along random orthogonal u: the mean square is
    unbiased, and the norm a little low, by less than a part in 4 probes.

    The norm grows with the logits: compare networks at equal training loss, or per unit of margin.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> found = simplicity.input_jacobian(problem, population, on=tw.Sample("test", 50))
    >>> some = simplicity.input_jacobian(problem, population, on=tw.Sample("test", 50), probes=5)
    >>> found["norm of example"].shape, bool((abs(some["norm"] / found["norm"] - 1) < 0.1).all())
    ((2, 50), True)

    Args:
        problem, population: in evaluation mode; only read. Inputs are one tensor of numbers.
        on: the examples.
        probes: random directions of the outputs an example; None, or as many as there are: exactly.
        seed: of the probes, the stream (seed, "input jacobian").

    Raises:
        UsageError: inputs that are not one tensor of numbers, such as tokens.
        ModelError: a model that does not return (batch, outputs), or draws random numbers in evaluation mode.

    Cost: a forward and as many backward passes a member as outputs, or probes.

    Papers: Novak et al. (2018), arXiv:1802.08760; Hoffman, Roberts & Yaida (2019), arXiv:1908.02729 (the probes).
    """
    check_type("input_jacobian problem", problem, Problem, "a Problem")
    check_type("input_jacobian population", population, Population, "a Population such as run.final")
    if probes is not None:
        check_count("input_jacobian probes", probes)
    problem.check(population)
    check_differentiable(problem)
    drawn = as_sample("input_jacobian", on).draw(problem)
    examples, n = drawn.examples, len(drawn)
    inputs, targets = examples.slice(0, n)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        msg = "input_jacobian needs inputs that are one tensor of numbers: there is no derivative in anything else."
        raise UsageError(msg)
    classes = targets if isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point() else None
    squares, margins, exact = [], [], True
    for member in range(len(population)):
        found = _squares(problem, population.module(member).eval(), inputs, classes, probes, seed)
        squares.append(found[0])
        margins.append(found[1])
        exact = found[2]
    square = np.stack(squares)
    norms = np.sqrt(square)
    arrays = {"norm": norms.mean(1), "mean square": square.mean(1)}
    errors = {
        name: table.std(1, ddof=1) / n**0.5 for name, table in (("norm", norms), ("mean square", square)) if n > 1
    }
    if classes is not None:
        margin = np.median(np.stack(margins), axis=1)
        above = np.where(margin > 0, margin, np.nan)
        arrays |= {"margin": margin, "norm per margin": arrays["norm"] / above}
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("member",))
    how = "exact" if exact else f"{probes} probes an example"
    reading = Reading(
        "input Jacobian",
        arrays | {"norm of example": norms},
        dims | {"norm of example": ("member", "example")},
        {"member": np.arange(len(population))},
        standard_errors=errors,
        degrees_of_freedom=dict.fromkeys(errors, n - 1),
        sample_size=n,
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(f"On {drawn.text}, {how}; standard errors are over examples.",),
    )
    return InputJacobian(reading)


def _squares(
    problem: Problem, net: nn.Module, inputs: Tensor, classes: Tensor | None, probes: int | None, seed: int
) -> tuple[Array, Array, bool]:
    """|J|_F^2 of every example, its margin (NaN without classes), and whether that is exact."""
    squares, margins, exact = [], [], True
    for start in range(0, len(inputs), _AT_ONCE):
        x = inputs[start : start + _AT_ONCE].detach().clone().requires_grad_()
        z = _outputs(problem, net, x)
        centered = z if classes is None else z - z.mean(1, keepdim=True)
        directions, factor = _directions(z, probes, seed, start, centered=classes is not None)
        exact = exact and factor == 1
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for number, direction in enumerate(directions.unbind(1), start=1):
            last = number == directions.shape[1]
            (slopes,) = torch.autograd.grad(centered, x, direction, retain_graph=not last)
            total += slopes.double().flatten(1).square().sum(1)
        squares.append((factor * total).cpu())
        if classes is not None:
            own = classes[start : start + _AT_ONCE, None].to(z.device)
            others = z.detach().scatter(1, own, -torch.inf).amax(1)
            margins.append((z.detach().gather(1, own)[:, 0] - others).double().cpu())
    return torch.cat(squares).numpy(), torch.cat(margins).numpy() if margins else np.full(len(inputs), np.nan), exact


def _outputs(problem: Problem, net: nn.Module, x: Tensor) -> Tensor:
    """(batch, outputs)."""
    if problem.pads(training=False):
        with Padding():
            z = net(x)
    else:
        z = net(x)
    if not isinstance(z, Tensor) or z.ndim != 2:
        msg = "input_jacobian needs a model that returns (batch, outputs); wrap it in a module that does."
        raise ModelError(msg)
    return z


def _directions(
    z: Tensor, probes: int | None, seed: int, start: int, *, centered: bool
) -> tuple[Float[Tensor, "batch probes outputs"], float]:
    """Of every example orthonormal directions of the outputs, and the factor that makes their squares |J|_F^2."""
    batch, outputs = z.shape
    free = outputs - 1 if centered and outputs > 1 else outputs  # dimensions that centered outputs have
    if probes is None or probes >= free:
        return torch.eye(outputs, dtype=z.dtype, device=z.device).expand(batch, -1, -1), 1.0
    drawn = torch.randn(batch, outputs, probes, generator=generator(seed, "input jacobian", start), dtype=torch.float64)
    drawn = drawn - drawn.mean(1, keepdim=True) if free < outputs else drawn
    return torch.linalg.qr(drawn)[0].mT.to(z), free / probes
