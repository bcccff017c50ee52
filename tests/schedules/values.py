"""Values of schedules, and of the schedulers of torch that they are compared with."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

T = 100


def values(schedule: Any, steps: int = T, beyond: int = 0) -> np.ndarray:
    """s(1), s(2), ..., s(steps + beyond)."""
    return np.array([float(schedule(t, steps)) for t in range(1, steps + beyond + 1)])


def torch_values(build: Callable[[torch.optim.Optimizer], Any], count: int, key: str = "lr") -> np.ndarray:
    """What torch uses at its steps 0, 1, ..., count - 1, for a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler, rates = build(optimizer), []
    for _ in range(count):
        rates.append(float(optimizer.param_groups[0][key]))
        optimizer.step()
        if len(rates) < count:
            scheduler.step()
    return np.array(rates)


def close(got: Any, wanted: Any) -> None:
    """Equal to 1e-12."""
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
