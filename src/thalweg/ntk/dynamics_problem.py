"""Kernels, targets and starts in one shape: members in front, outputs behind or within the rows."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError

Convention = Literal["half_sum", "half_mean", "mean"]
FORMULAS = {
    "half_sum": "1/2 sum (f - y)^2",
    "half_mean": "1/(2 n C) sum (f - y)^2",
    "mean": "1/(n C) sum (f - y)^2, torch's MSELoss",
}
ASYMMETRY = 1e-3  # of the largest entry, beyond which a kernel is none


@dataclass(frozen=True, eq=False)
class KernelProblem:
    """A kernel and what is fitted with it, in float64.

    Rows are examples where all outputs share a kernel, and (example, output) pairs where the kernel has blocks of
    outputs; columns are the outputs in the first case, and one in the second.

    Args:
        kernel: of the training examples: (members or 1, rows, rows).
        cross: of test examples with training examples, or None: (members or 1, test rows, rows).
        targets: (members or 1, rows, columns).
        start: outputs on the training examples before training: (members or 1, rows, columns).
        start_test: on the test examples, or None: (members or 1, test rows, columns).
        members, outputs: how many there are.
        blocks: whether the kernel has blocks of outputs.
    """

    kernel: Tensor
    cross: Tensor | None
    targets: Tensor
    start: Tensor
    start_test: Tensor | None
    members: int
    outputs: int
    blocks: bool

    @classmethod
    def of(cls, kernel: Any, cross: Any, targets: Any, start: Any = None, start_test: Any = None) -> "KernelProblem":
        """What the arguments of a function of this room say.

        Raises:
            UsageError: shapes that do not fit each other, numbers that are not finite, or a kernel that is not
                symmetric.
        """
        kernel = numbers_of("kernel", kernel)
        if kernel.ndim not in (2, 3, 4, 5):
            msg = (
                "A kernel is (n, n) or (members, n, n), with blocks of outputs (n, n, C, C) or (members, n, n, C, C); "
            )
            raise UsageError(msg + f" got {tuple(kernel.shape)}.")
        blocks = kernel.ndim > 3
        kernel = _paired(kernel, blocks)
        if kernel.shape[1] != kernel.shape[2] or kernel.shape[1] == 0:
            msg = f"The kernel of the training examples is square; it has {kernel.shape[1]} by {kernel.shape[2]} rows."
            raise UsageError(msg)
        _check_symmetric(kernel)
        targets = numbers_of("targets", targets, kernel.device)
        outputs = 1 if targets.ndim == 1 else targets.shape[-1]
        lay, rows = _Layout(outputs, blocks, kernel.device), kernel.shape[1]
        targets = lay("targets", targets, rows)
        start = lay("start", start, rows)
        members = [len(kernel), len(targets), len(start)]
        if cross is not None:
            cross = _paired(numbers_of("cross", cross, kernel.device), blocks)
            if cross.ndim != 3 or cross.shape[2] != rows:
                msg = f"cross is (test examples, {rows} training examples); got rows and columns "
                raise UsageError(msg + f"{tuple(cross.shape[-2:])}.")
            start_test = lay("start_test", start_test, cross.shape[1])
            members += [len(cross), len(start_test)]
        elif start_test is not None:
            msg = "start_test needs the kernel of test and training examples: give cross."
            raise UsageError(msg)
        many = max(members)
        if any(one not in (1, many) for one in members):
            msg = f"Kernels, targets and starts have as many members each, or one for all; got {sorted(set(members))}."
            raise UsageError(msg)
        return cls((kernel + kernel.mT) / 2, cross, targets, start, start_test, many, outputs, blocks)

    def with_members(self, count: int, of: str) -> "KernelProblem":
        """The same with as many members as there are of something that has one for each, or one for all.

        Raises:
            UsageError: there are as many of neither.
        """
        if count not in (1, self.members) and self.members != 1:
            msg = f"There are {count} {of} for {self.members} members; give one for all, or one for each."
            raise UsageError(msg)
        return replace(self, members=max(count, self.members))

    def factor(self, loss: str) -> float:
        """s of the gradient s (f - y) of the loss by that convention.

        Raises:
            UsageError: no convention of the squared error.
        """
        if not isinstance(loss, str) or loss not in FORMULAS:
            msg = f"The closed form is that of the squared error, by the loss {', '.join(map(repr, FORMULAS))}; got "
            raise UsageError(msg + f"{loss!r}. Any other loss have descend, step by step, and flow, in time.")
        numbers = self.targets.shape[1] * self.targets.shape[2]
        return {"half_sum": 1.0, "half_mean": 1 / numbers, "mean": 2 / numbers}[loss]

    def by_example(self, values: Tensor) -> Tensor:
        """(..., rows, columns) as (..., examples, outputs)."""
        return values.reshape(*values.shape[:-2], -1, self.outputs)

    def laid_out(self, values: Any, name: str, rows: int) -> Tensor:
        """Values per example and output as (members or 1, rows, columns), where there are so many rows."""
        return _Layout(self.outputs, self.blocks, self.kernel.device)(name, values, rows)


@dataclass(frozen=True)
class _Layout:
    """Brings values per example and output to (members or 1, rows, columns); None is 0."""

    outputs: int
    blocks: bool
    device: torch.device

    def __call__(self, name: str, values: Any, rows: int) -> Tensor:
        examples = rows // self.outputs if self.blocks else rows
        if values is None:
            values = torch.zeros(examples, self.outputs)
        values = numbers_of(name, values, self.device)
        if values.ndim == 1 and self.outputs == 1:
            values = values[:, None]
        if values.ndim == 2:
            values = values[None]
        if values.ndim != 3 or values.shape[1:] != (examples, self.outputs):
            msg = f"{name} is ({examples}, {self.outputs}), examples by outputs as in the kernel and targets, "
            raise UsageError(msg + f"or (members, {examples}, {self.outputs}); got {tuple(values.shape)}.")
        return values.reshape(len(values), rows, 1 if self.blocks else self.outputs)


def points_of(name: str, values: Any, *, whole: bool) -> list[float]:
    """Steps or times that ascend.

    Raises:
        UsageError: they do not.
    """
    points = np.atleast_1d(np.asarray(values, np.float64))
    right = points.ndim == 1 and points.size > 0 and not np.isnan(points).any() and points[0] >= 0
    if not right or (np.diff(points) <= 0).any() or (whole and not (points == np.floor(points)).all()):
        kind = "whole numbers" if whole else "numbers"
        msg = f"{name} are {kind} of at least 0 that ascend, such as [0, 10, 100]; got {values!r}."
        raise UsageError(msg)
    if whole and np.isinf(points[-1]):
        msg = "steps are finite; gradient_flow has an end, at times=math.inf."
        raise UsageError(msg)
    return [int(point) for point in points] if whole else points.tolist()


def tensor_of(values: Any) -> Tensor:
    """Numbers as a tensor without gradients; arrays of results, which nobody may write into, are copied."""
    return (values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))).detach()


def numbers_of(name: str, values: Any, device: torch.device | None = None) -> Tensor:
    """Values as finite numbers in float64.

    Raises:
        UsageError: they are not finite.
    """
    tensor = tensor_of(values).to(device, torch.float64)
    if not tensor.isfinite().all():
        count = int((~tensor.isfinite()).sum())
        msg = f"{name} holds {count} of {tensor.numel()} numbers that are not finite; leave those examples out."
        raise UsageError(msg)
    return tensor


def _paired(kernel: Tensor, blocks: bool) -> Tensor:
    """(members or 1, rows, columns): pairs of example and output where there are blocks."""
    if blocks and kernel.ndim in (4, 5):
        kernel = kernel if kernel.ndim == 5 else kernel[None]
        members, rows, columns, outputs, others = kernel.shape
        return kernel.permute(0, 1, 3, 2, 4).reshape(members, rows * outputs, columns * others)
    return kernel if kernel.ndim == 3 else kernel[None]


def _check_symmetric(kernel: Tensor) -> None:
    off, size = float((kernel - kernel.mT).abs().max()), float(kernel.abs().max())
    if off > ASYMMETRY * size:
        msg = f"A kernel of training examples with themselves is symmetric; this one is off by {off / size:.2g} of its "
        raise UsageError(msg + "largest entry. Are the same examples, in the same order, on both sides?")
