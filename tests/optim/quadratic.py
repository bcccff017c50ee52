"""Rules on a quadratic h theta^2 / 2, one mode per member."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim import Rule, StepHyperparameters, Updater


def column(values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1)


def hyper(rule: Rule, step: int, **changes: Any) -> StepHyperparameters:
    """The rule's own numbers, some of them replaced by columns."""
    return StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0} | changes, step)


def follow(
    rule: Rule, start: Tensor, gradient: Callable[[Tensor, int], Tensor], steps: int, **changes: Any
) -> list[Tensor]:
    """theta before the first and after every step."""
    theta = start.clone().double()
    updater, point, path = Updater(rule, theta), theta.clone(), [start.clone().double()]
    for step in range(1, steps + 1):
        h = hyper(rule, step, **changes)
        if rule.looks_ahead:
            updater.look_ahead(h, out=point)
        updater.step(gradient(point if rule.looks_ahead else theta, step).clone(), h)
        path.append(theta.clone())
    return path


def spectral_radius(rule: Rule, curvature: Any, **changes: Any) -> np.ndarray:
    """The rate of each mode: the largest root of the recurrence x'' = a x' + b x that its path obeys."""
    h = column(curvature)
    path = follow(rule, torch.ones_like(h), lambda theta, _: h * theta, 4, **changes)
    x = torch.cat(path, 1).numpy()
    rates = []
    for row in x:
        a, b = np.linalg.solve([[row[1], row[0]], [row[2], row[1]]], [row[2], row[3]])
        np.testing.assert_allclose(a * row[3] + b * row[2], row[4], rtol=1e-6, atol=1e-9)  # it is of second order
        rates.append(np.abs(np.roots([1, -a, -b])).max())
    return np.array(rates)
