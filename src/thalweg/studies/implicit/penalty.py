"""IMP6: to the next order a step follows the flow of the loss with the penalty rate / 4 |gradient|^2.

All weights start standard normal, with no regard to where the powers come out well: near starts at which the Hessian
maps the gradient to 0 the plain error has next to no square term, and where the curvature is large these rates are not
small against it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.claims import Claim, Finding, Part, every_part, within
from thalweg.figures import Axis, Figure, Line
from thalweg.generalization.implicit import OneStepError, one_step_error
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
Function = Callable[[Tensor], Tensor]
SLOPE = "power of the rate"
PRODUCT, NETWORK, EPOCH = "product of two weights", "tanh net", "mean epoch of SGD"
PLAIN, GRADIENT, MODIFIED = "plain", "gradient term", "modified"
SECOND, THIRD = within(1.95, 2.05), within(2.95, 3.05)
IS_SECOND, IS_THIRD = "From the flow of the loss it is second order.", "With the penalty it is third order."
CLAIM = Claim(
    id="IMP6",
    statement="From random starts, a step of gradient descent is away from the flow of the loss by the square of the "
    "rate, and from that of the loss plus rate / 4 |gradient|^2 by its cube: for (1 - a b)^2 / 2 and a tanh net 3-6-1 "
    "on 8 points, all weights standard normal, rates 0.001 to 0.016. The mean epoch of SGD in 4 batches is third order "
    "only with a term for the variance of the batches' gradients, too.",
    lecture="Net effect: loss = training loss + implicit complexity penalty.",
    rule=every_part(),
    unit=SLOPE,
    corrected="The penalty is rate / 4 |gradient|^2, for SGD with rate / (4 m) sum over m batches of |gradient of the "
    "batch - gradient|^2. It is the next term of a series in the rate: of plain steps, over a finite time. It is no "
    "law of Adam, nor at the edge of stability, nor is it small where the rate is large.",
    parts=(
        *(
            part
            for name in (PRODUCT, NETWORK)
            for part in (
                Part(f"{PLAIN}, {name}", IS_SECOND, SECOND, SLOPE, repeats="starts"),
                Part(f"{MODIFIED}, {name}", IS_THIRD, THIRD, SLOPE, repeats="starts"),
            )
        ),
        Part(f"{PLAIN}, {EPOCH}", IS_SECOND, SECOND, SLOPE, repeats="starts"),
        Part(f"{GRADIENT}, {EPOCH}", "With the gradient's term alone it still is.", SECOND, SLOPE, repeats="starts"),
        Part(f"{MODIFIED}, {EPOCH}", "With the variance too it is third order.", THIRD, SLOPE, repeats="starts"),
        Part(
            "wrong coefficients",
            "With 1/2, 1/8, 0 and -1/4 in place of 1/4 it is second order.",
            within(1.9, 2.1),
            "the power of the rate farthest from 2",
            decides=False,
            repeats="starts",
        ),
    ),
)
RATES = tuple(np.geomspace(0.001, 0.016, 9).tolist())
BATCHES = 4
RATES_OF_AN_EPOCH = tuple(rate / BATCHES for rate in RATES)  # so that an epoch takes as long as a step does
WRONG = (0.5, 0.125, 0.0, -0.25)
INPUTS, HIDDEN, POINTS = 3, 6, 8


def product(theta: Tensor) -> Tensor:
    """(y - a b x)^2 / 2 with x = y = 1."""
    return (1 - theta[0] * theta[1]) ** 2 / 2


def network(x: Tensor, y: Tensor) -> Function:
    """Half the mean square of a net with one hidden layer of tanh units on these points, by its weights."""

    def loss(theta: Tensor) -> Tensor:
        first, bias, last, constant = theta.split([INPUTS * HIDDEN, HIDDEN, HIDDEN, 1])
        hidden = torch.tanh(x @ first.view(INPUTS, HIDDEN) + bias)
        return ((hidden @ last + constant - y) ** 2).mean() / 2

    return loss


def measured(seed: int, starts: int, coefficient: float = 0.25, *, epoch: bool = True) -> dict[str, OneStepError]:
    """The errors of one step on both losses, and of an epoch of SGD on the net, each from random starts."""
    rng = np.random.default_rng(seed)
    x, y = torch.as_tensor(rng.normal(size=(POINTS, INPUTS))), torch.as_tensor(rng.normal(size=POINTS))
    pairs, weights = rng.normal(size=(starts, 2)), rng.normal(size=(starts, INPUTS * HIDDEN + HIDDEN + HIDDEN + 1))
    found = {
        PRODUCT: one_step_error(product, pairs, RATES, penalty=coefficient),
        NETWORK: one_step_error(network(x, y), weights, RATES, penalty=coefficient),
    }
    if not epoch:
        return found
    batches = [network(*batch) for batch in zip(x.chunk(BATCHES), y.chunk(BATCHES), strict=True)]
    return found | {EPOCH: one_step_error(batches, weights, RATES_OF_AN_EPOCH, penalty=coefficient)}


def slopes(found: OneStepError) -> dict[str, Array]:
    """By the flow: (starts,) each."""
    return dict(zip(map(str, found.reading.coordinate("flow")), found["slope"], strict=True))


def judged(found: Mapping[str, OneStepError]) -> dict[str, Interval]:
    """The parts that decide."""
    return {
        f"{flow}, {name}": interval.mean(values) for name, one in found.items() for flow, values in slopes(one).items()
    }


def of_wrong_coefficients(seed: int, starts: int) -> tuple[Interval, dict[str, float]]:
    """Of all wrong coefficients and losses the power that is farthest from 2; and the mean of each."""
    each = {
        f"{coefficient:g}, {name}": slopes(one)[MODIFIED]
        for coefficient in WRONG
        for name, one in measured(seed, starts, coefficient, epoch=False).items()
    }
    means = {name: float(values.mean()) for name, values in each.items()}
    worst = max(means, key=lambda name: abs(means[name] - 2))
    return interval.mean(each[worst]), means


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Take one step, or all orders of an epoch, and follow three flows for as long."""
    starts, seed = lab.pick(quick=4, full=6), lab.seeds(quick=1, full=1).scored[0]
    found = measured(seed, starts)
    wrong, of_wrong = of_wrong_coefficients(seed, starts)
    parts = judged(found)
    return lab.finding(
        parts=parts | {"wrong coefficients": wrong},
        figures=figure(found),
        readings=[replace(one.reading, name=f"one-step error, {name}") for name, one in found.items()],
        sentences=[
            *(
                f"{name.capitalize()}: the error of one step goes as the power "
                f"{parts[f'{PLAIN}, {name}'].estimate:.2f} of the rate against the plain flow, and "
                f"{parts[f'{MODIFIED}, {name}'].estimate:.2f} against that with the penalty."
                for name in (PRODUCT, NETWORK)
            ),
            f"The mean epoch of SGD, over all orders of {BATCHES} batches: {parts[f'{PLAIN}, {EPOCH}'].estimate:.2f} "
            f"against the plain flow, {parts[f'{GRADIENT}, {EPOCH}'].estimate:.2f} with the gradient's penalty alone, "
            f"{parts[f'{MODIFIED}, {EPOCH}'].estimate:.2f} with the variance of the batches too.",
            f"With wrong coefficients the power is {min(of_wrong.values()):.2f} to {max(of_wrong.values()):.2f}. After "
            "a fixed time, hence 1 / rate steps, all powers are one less: these are of a single step.",
        ],
        numbers={
            "powers, by start": {
                name: {flow: values.tolist() for flow, values in slopes(one).items()} for name, one in found.items()
            },
            "mean powers with wrong coefficients": of_wrong,
        },
    )


def figure(found: Mapping[str, OneStepError]) -> Figure:
    """The error against the rate of every loss and flow, with guides of slopes 2 and 3."""
    return Figure.row(
        [Figure.of(name[0].upper() + name[1:], lines(one), *AXES) for name, one in found.items()],
        title="Which flow gradient descent follows",
        caption="Errors after one step, or one epoch averaged over all orders of its batches; geometric means over "
        "random starts, with guides of slopes 2 and 3.",
    )


AXES = Axis("learning rate", scale="log"), Axis("distance from the flow", scale="log")


def lines(found: OneStepError) -> Sequence[Line]:
    """A line of every flow, and both guides."""
    rates, means = found.reading.coordinate("rate"), np.exp(np.log(found["error"]).mean(1))
    names = [str(name) for name in found.reading.coordinate("flow")]
    ends = rates[[0, -1]]
    guides = [
        Line(ends, 0.5 * means[row, -1] * (ends / rates[-1]) ** power, label=f"slope {power}")
        for row, power in ((0, 2), (-1, 3))
    ]
    return [*(Line(rates, row, label=name) for name, row in zip(names, means, strict=True)), *guides]
