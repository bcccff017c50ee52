"""How far training has come along an eigenvector of the kernel: one linear recurrence for all of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.ntk.dynamics_problem import tensor_of
from thalweg.schedules import Schedule


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Where training is: theta - theta_0 = J^T v + p theta_0 with v = Q (c Q^T (y - f_0) - e Q^T J theta_0).

    Args:
        fit: c, what the residual at the start has moved: (members, rows).
        pull: e, what the decay towards 0 has moved; None without: (members, rows).
        shrunk: p, how much of the start is lost, times -1; None without: (members, 1).
    """

    fit: Tensor
    pull: Tensor | None = None
    shrunk: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Descent:
    """The numbers of gradient descent as torch.optim.SGD does it, with v and its velocity in place of theta.

    Args:
        factor: s of the gradient s (f - y) of the loss.
        lr: (members or 1, 1, 1), times the schedule's multiplier at every step.
        momentum, nesterov, decay: as in torch.
        to_zero: whether the decay pulls to 0 instead of the start.
        schedule: None is constant.
    """

    factor: float
    lr: Tensor
    momentum: float
    nesterov: bool
    decay: float
    to_zero: bool
    schedule: Schedule | None

    @classmethod
    def of(
        cls,
        factor: float,
        lr: object,
        momentum: object,
        decay: object,
        *,
        nesterov: bool,
        to_zero: bool,
        schedule: Schedule | None,
        device: torch.device,
    ) -> "Descent":
        """Check the numbers.

        Raises:
            UsageError: one that cannot be meant.
        """
        rates = tensor_of(lr).to(torch.float64)
        if rates.ndim > 1 or not bool((rates.isfinite() & (rates >= 0)).all()):
            msg = f"lr is a number of at least 0, or one for every member; got {lr!r}."
            raise UsageError(msg)
        momentum, decay = number("momentum", momentum, 1), number("weight_decay", decay)
        if nesterov and momentum == 0:
            msg = "Nesterov's step needs momentum, for example momentum=0.9; got 0."
            raise UsageError(msg)
        if schedule is not None:
            check_type("schedule", schedule, Schedule, "one such as schedules.Cosine(), or None for a constant rate")
        return cls(
            factor, rates.reshape(-1, 1, 1).to(device), momentum, nesterov, decay, to_zero and decay > 0, schedule
        )

    def limit(self, top: Tensor) -> Tensor:
        """The largest stable learning rate, where this is the largest eigenvalue: (members or 1,)."""
        bound = 2 * (1 + self.momentum) / (1 + 2 * self.momentum if self.nesterov else 1)
        return bound / (self.factor * top + self.decay)

    def rate(self, step: int, steps: int) -> Tensor:
        """The learning rate at a step, counted from 1."""
        if self.schedule is None:
            return self.lr
        multiplier = torch.from_numpy(np.array(self.schedule(step, steps), np.float64)).to(self.lr)
        return self.lr * multiplier.reshape(-1, 1, 1)

    def along(self, values: Tensor, steps: Sequence[int]) -> Iterator[Coefficients]:
        """The coefficients after each of these steps, which ascend; for these eigenvalues (members or 1, rows)."""
        if self.schedule is None and not self.momentum and not self.to_zero:
            yield from self.closed(values, steps)
            return
        state = self.start(values)
        if self.schedule is not None:
            done = 0
            for step in steps:
                for number in range(done + 1, step + 1):
                    state = self.advanced(state, values, self.rate(number, steps[-1]))
                done = step
                yield self._read(state)
            return
        unit = torch.eye(state.shape[-2], dtype=values.dtype, device=values.device)
        powers, done = [self.advanced(unit.expand(*state.shape[:2], *unit.shape), values, self.lr)], 0
        for step in steps:
            for bit, one in enumerate(reversed(bin(step - done)[2:])):
                if bit == len(powers):
                    powers.append(powers[-1] @ powers[-1])
                if one == "1":
                    state = powers[bit] @ state
            done = step
            yield self._read(state)

    def advanced(self, state: Tensor, values: Tensor, lr: Tensor) -> Tensor:
        """The states after a step: c, its velocity, and with decay to 0 e and p with theirs, and 1."""
        rate = (self.factor * values + self.decay).unsqueeze(-1)
        one = state[..., -1, :]
        moved: list[Tensor] = []
        for number in range(0, state.shape[-2] - 1, 2):
            position, velocity = state[..., number, :], state[..., number + 1, :]
            if number == 0:
                gradient = rate * position - self.factor * one
            elif number == 2:
                gradient = rate * position - self.factor * state[..., 4, :]
            else:
                gradient = self.decay * (position + one)
            velocity = self.momentum * velocity + gradient
            step = gradient + self.momentum * velocity if self.nesterov else velocity
            moved += [position - lr * step, velocity]
        return torch.stack([*moved, one.expand_as(moved[0])], dim=-2)

    def start(self, values: Tensor) -> Tensor:
        """The state before the first step: (members, rows, entries, 1)."""
        entries = 7 if self.to_zero else 3
        single = torch.eye(entries, dtype=values.dtype, device=values.device)[:, -1:]
        return single.expand(max(len(self.lr), len(values)), values.shape[1], *single.shape)

    def _read(self, state: Tensor) -> Coefficients:
        if not self.to_zero:
            return Coefficients(state[..., 0, 0])
        return Coefficients(state[..., 0, 0], state[..., 2, 0], state[..., :1, 4, 0])

    def closed(self, values: Tensor, steps: Sequence[int] | Sequence[Tensor]) -> Iterator[Coefficients]:
        """c = s (1 - (1 - lr a)^k) / a, with a = s lambda + decay, where nothing else is asked."""
        lr = self.lr[..., 0]
        x = lr * (self.factor * values + self.decay)
        nonzero, small = x.where(x > 0, torch.ones_like(x)), x.clamp(max=0.5)
        for step in steps:
            left = torch.where(x < 0.5, -torch.expm1(step * torch.log1p(-small)), 1 - (1 - x) ** step)
            share = torch.where(x > 0, left / nonzero, torch.as_tensor(step).to(x))
            yield Coefficients(self.factor * lr * share)


@dataclass(frozen=True)
class Flow:
    """The numbers of gradient flow: factor and decay as in `Descent`."""

    factor: float
    decay: float
    to_zero: bool

    def along(self, values: Tensor, times: Sequence[float]) -> Iterator[Coefficients]:
        """The coefficients at these times, which may be infinite; for these eigenvalues (members or 1, rows)."""
        a, s = self.factor * values + self.decay, self.factor
        for time in times:
            fit = s * _integral(a, time)
            if not self.to_zero:
                yield Coefficients(fit)
                continue
            kept = torch.full_like(values[:, :1], math.exp(-self.decay * time))
            # (e^(-decay t) - e^(-a t)) / (s lambda), which is 0 at the end: what decays is gone
            between = kept * _integral(s * values, time) if math.isfinite(time) else torch.zeros_like(values)
            yield Coefficients(fit, s * between - fit, kept - 1)


def _integral(rate: Tensor, time: float) -> Tensor:
    """(1 - e^(-rate t)) / rate, which is t at rate 0; 0 there for an infinite time, where nothing moves."""
    nonzero = rate.where(rate > 0, torch.ones_like(rate))
    still = time if math.isfinite(time) else 0.0
    gone = -torch.expm1(-nonzero * time)
    return torch.where(rate > 0, gone / nonzero, torch.full_like(rate, still))


def number(name: str, value: object, below: float = math.inf) -> float:
    """The value as a number that is at least 0 and below a bound.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        bound = "at least 0" if math.isinf(below) else f"from 0 to below {below:g}"
        msg = f"{name} is a number {bound}; got {value!r}."
        raise UsageError(msg)
    return float(value)
