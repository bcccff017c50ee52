"""A linearized network, its kernels, and training it step by step with torch's own optimizer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, jacrev

import thalweg as tw
from thalweg.schedules import Schedule

N, TEST, C = 6, 4, 2


@dataclass
class LinearNet:
    """A small net, and everything about it in float64."""

    seed: int = 0

    @cached_property
    def module(self) -> tw.ntk.Linearized:
        torch.manual_seed(self.seed)
        return tw.ntk.linearized(tw.nets.mlp(3, 20, C, activation="tanh").double())

    @cached_property
    def inputs(self) -> Tensor:
        return torch.randn(N + TEST, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    @cached_property
    def targets(self) -> Tensor:
        return torch.randn(N, C, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    @cached_property
    def start(self) -> Tensor:
        return self.module.initial(self.inputs)

    @cached_property
    def theta(self) -> Tensor:
        return torch.cat([one.flatten() for one in self.module.initial.parameters()])

    @cached_property
    def jacobian(self) -> Tensor:
        """(examples, outputs, parameters)."""
        parts = dict(self.module.initial.named_parameters())
        made = jacrev(lambda tensors: functional_call(self.module.initial, tensors, (self.inputs,)))(parts)
        return torch.cat([one.flatten(2) for one in made.values()], 2)

    @cached_property
    def kernel(self) -> Tensor:
        return torch.einsum("ncp,mdp->nmcd", self.jacobian[:N], self.jacobian[:N])

    @cached_property
    def cross(self) -> Tensor:
        return torch.einsum("ncp,mdp->nmcd", self.jacobian[N:], self.jacobian[:N])

    @cached_property
    def origin(self) -> Tensor:
        """Outputs of the linearized net where its parameters are 0."""
        return self.start - self.jacobian @ self.theta

    @property
    def top(self) -> float:
        rows = self.kernel.permute(0, 2, 1, 3).reshape(N * C, N * C)
        return float(torch.linalg.eigvalsh(rows)[-1])

    def trained(
        self,
        loss: Callable[[Tensor, int], Tensor],
        steps: int,
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
    ) -> Tensor:
        """Outputs on all examples before every step and after the last; the loss is of (outputs on training, step)."""
        module = tw.ntk.linearized(self.module.network)
        leaves = [one for one in module.parameters() if one.requires_grad]
        rule = torch.optim.SGD(leaves, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        before = [one.detach().clone() for one in leaves]
        found = []
        for step in range(1, steps + 1):
            outputs = module(self.inputs)
            found.append(outputs.detach())
            if schedule is not None:
                rule.param_groups[0]["lr"] = lr * float(np.asarray(schedule(step, steps)))
            rule.zero_grad()
            loss(outputs[:N], step).backward()
            rule.step()
        found.append(module(self.inputs).detach())
        with torch.no_grad():
            for one, start in zip(leaves, before, strict=True):
                one.copy_(start)
        return torch.stack(found)
