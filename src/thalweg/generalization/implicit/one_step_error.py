"""How far a step of gradient descent is from a flow, and which flow it is that it follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.func import vmap

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.results import Provenance, Reading, Result

Function = Callable[[Tensor], Tensor]
RATES = tuple(0.001 * 2 ** (k / 2) for k in range(9))
_MOST = 6  # batches: 720 orders


@dataclass(frozen=True, eq=False)
class OneStepError(Result):
    """What `one_step_error` found.

    Args:
        reading: "error", |where the steps end - where the flow is then| (flow, start, rate), and "slope" of log error
            on log rate by least squares (flow, start). Flows are "plain", for several batches "gradient term", and
            "modified".
    """

    def figure(self) -> Figure:
        """The mean error over starts against the rate, one line a flow, on log axes."""
        rates = self.reading.coordinate("rate")
        means = np.exp(np.log(self["error"]).mean(1))
        slopes = self["slope"].mean(1)
        marks = [
            Line(rates, row, label=f"{name} flow, slope {slope:.2f}")
            for name, row, slope in zip(self.reading.coordinate("flow"), means, slopes, strict=True)
        ]
        axes = Axis("learning rate", scale="log"), Axis("error of one step", scale="log")
        return Figure.of("Which flow gradient descent follows", marks, *axes, caption=" ".join(self.reading.notes))


@guarded
def one_step_error(
    losses: Function | Sequence[Function],
    starts: ArrayLike | Tensor,
    rates: Sequence[float] = RATES,
    *,
    penalty: float = 0.25,
    batch_penalty: float = 0.25,
    substeps: int = 8,
) -> OneStepError:
    """The error of one step against the gradient flow of the loss, and of the loss with its implicit penalty.

        |theta - rate grad E - flow_rate(theta)| = O(rate^2)    along -grad E
                                                 = O(rate^3)    along -grad (E + rate/4 |grad E|^2)

    so the slopes of the log error on the log rate are 2 and 3. After a fixed time, hence after 1 / rate steps, they are
    1 and 2. For losses E_k of m batches, of which E is the mean, a step of each is taken in every one of the m! orders;
    the mean of where they end follows for a time m rate, with slope 3,

        E + rate/4 |grad E|^2 + rate/(4 m) sum_k |grad E_k - grad E|^2

    and with slope 2 both the plain flow and the one without the last term.

    >>> import torch
    >>> import thalweg as tw
    >>> found = tw.generalization.implicit.one_step_error(lambda ab: (1 - ab[0] * ab[1]) ** 2 / 2, [[1.5, 0.4]])
    >>> found["slope"].round(1).tolist()
    [[2.0], [3.0]]

    Args:
        losses: a function of theta (parameters,), or one of each batch, at most 6; of torch's operations, as they are
            differentiated twice and vmapped over starts.
        starts: where steps begin: (starts, parameters).
        rates: at least 2, above 0; where they are not small against the curvature the slopes are of higher orders.
        penalty: the coefficient of rate |grad E|^2; any but 1/4 has slope 2.
        batch_penalty: the coefficient of rate / m sum_k |grad E_k - grad E|^2; any but 1/4 has slope 2.
        substeps: of the method of Runge and Kutta of order 4 by which the flow is followed.

    Raises:
        UsageError: arguments that cannot be meant, or a loss that is not one number.

    Cost: 4 x substeps second derivatives, and m x m! gradients, for every start and rate, all at once; float64.

    References:
        Barrett & Dherin (2021), arXiv:2009.11162; Smith, Dherin, Barrett & De (2021), arXiv:2101.12176.
    """
    parts = (losses,) if callable(losses) else tuple(losses)
    if not 1 <= len(parts) <= _MOST or not all(callable(part) for part in parts):
        msg = f"one_step_error takes a function of theta, or 1 to {_MOST} of batches, as it takes all orders of them; "
        raise UsageError(msg + f"got {len(parts)}.")
    check_count("one_step_error substeps", substeps)
    theta = torch.as_tensor(np.asarray(starts, dtype=np.float64))
    sizes = np.asarray(rates, dtype=np.float64)
    if theta.ndim != 2 or not theta.numel() or not bool(theta.isfinite().all()):
        msg = f"one_step_error starts are finite numbers (starts, parameters); got {tuple(theta.shape)}."
        raise UsageError(msg)
    if sizes.ndim != 1 or len(sizes) < 2 or not ((sizes > 0) & (sizes < np.inf)).all() or np.ptp(sizes) == 0:
        msg = f"one_step_error needs at least 2 different rates above 0, for a slope; got {rates!r}."
        raise UsageError(msg)
    for part in parts:
        value = part(theta[0])
        if not isinstance(value, Tensor) or value.ndim:
            msg = f"A loss of one_step_error returns one number, a tensor of shape (); got {value!r}."
            raise UsageError(msg)
    # Rows of all starts at all rates, one after the other.
    rows = theta.repeat_interleave(len(sizes), 0)
    steps = torch.as_tensor(sizes).repeat(len(theta))[:, None]
    stepped = _stepped(parts, rows, steps)
    flows = {"plain": (0.0, 0.0), "modified": (penalty, 0.0)}
    if len(parts) > 1:
        flows = {"plain": (0.0, 0.0), "gradient term": (penalty, 0.0), "modified": (penalty, batch_penalty)}
    errors = np.stack(
        [
            (stepped - _flowed(_field(parts, *by), rows, steps, len(parts), substeps)).norm(dim=1).numpy()
            for by in flows.values()
        ]
    ).reshape(len(flows), len(theta), len(sizes))
    centered = np.log(sizes) - np.log(sizes).mean()
    with np.errstate(divide="ignore", invalid="ignore"):  # a start at a minimum has no error, and no slope
        slopes = (np.log(errors) * centered).sum(2) / (centered**2).sum()
    what = "One step" if len(parts) == 1 else f"The mean of an epoch of {len(parts)} batches over their orders"
    reading = Reading(
        "one-step error",
        {"error": errors, "slope": slopes},
        {"error": ("flow", "start", "rate"), "slope": ("flow", "start")},
        {"flow": np.array(list(flows)), "rate": sizes},
        sample_size=len(theta),
        provenance=Provenance.here(dtype="float64"),
        notes=(f"{what}, from {len(theta)} starts; penalty {penalty:g} rate |gradient|^2.",),
    )
    return OneStepError(reading)


def _stepped(parts: Sequence[Function], rows: Tensor, steps: Tensor) -> Tensor:
    """The mean over all orders of where a step on each loss ends."""
    ends = {(): rows}  # of every order so far
    for _ in parts:
        further = {(*order, k): point for order, point in ends.items() for k in range(len(parts)) if k not in order}
        for k, part in enumerate(parts):
            orders = [order for order in further if order[-1] == k]
            points = torch.cat([further[order] for order in orders])
            moved = points - steps.repeat(len(orders), 1) * _gradient(part, points)
            further |= dict(zip(orders, moved.chunk(len(orders)), strict=True))
        ends = further
    return torch.stack(list(ends.values())).mean(0)


def _gradient(part: Function, rows: Tensor) -> Tensor:
    """The gradient of a loss at every row: (rows, parameters)."""
    return _slopes(vmap(part)(theta := rows.detach().requires_grad_()), theta).detach()


def _slopes(values: Tensor, theta: Tensor, *, again: bool = False) -> Tensor:
    """The gradient of each row's value, which is that of their sum; 0 where values are constant."""
    return torch.autograd.grad(values.sum() + 0 * theta.sum(), theta, create_graph=again)[0]


def _field(parts: Sequence[Function], penalty: float, batch_penalty: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The gradient of the modified loss, for rows (rows, parameters) at rates (rows, 1)."""

    def modified(rows: Tensor, rate: Tensor) -> Tensor:
        if not penalty and not batch_penalty:
            return torch.stack([_gradient(part, rows) for part in parts]).mean(0)
        theta = rows.detach().requires_grad_()
        gradients = torch.stack([_slopes(vmap(part)(theta), theta, again=True) for part in parts])
        whole = gradients.mean(0)
        spread = ((gradients - whole) ** 2).sum(2).mean(0)
        added = rate[:, 0] * (penalty * (whole**2).sum(1) + batch_penalty * spread)
        return (whole + _slopes(added, theta)).detach()

    return modified


def _flowed(
    field: Callable[[Tensor, Tensor], Tensor], rows: Tensor, steps: Tensor, batches: int, substeps: int
) -> Tensor:
    """Where the flow is after a time of as many rates as there are batches."""
    h, point = steps * batches / substeps, rows
    for _ in range(substeps):
        first = -field(point, steps)
        second = -field(point + h / 2 * first, steps)
        third = -field(point + h / 2 * second, steps)
        fourth = -field(point + h * third, steps)
        point = point + h / 6 * (first + 2 * second + 2 * third + fourth)
    return point
