"""What a parameter's numbers say of the distribution they were drawn from, and what torch's classes declare."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

SMALLEST_KURTOSIS = 1.8  # of a uniform distribution: a lower one of few numbers is chance
PADDED = 8  # rows and columns from which on singular values follow the random-matrix edge


@dataclass(frozen=True)
class Sampled:
    """Moments of a tensor's numbers: of one construction of a module, or of several together.

    Args:
        second: mean of w^2.
        fourth: mean of w^4.
        mean: of w.
        count: numbers in all.
    """

    second: float
    fourth: float
    mean: float
    count: int

    @classmethod
    def of(cls, tensors: Iterable[Tensor]) -> "Sampled":
        """Of several tensors together."""
        flat = torch.cat([tensor.detach().double().reshape(-1) for tensor in tensors])
        square = flat.square()
        return cls(float(square.mean()), float(square.square().mean()), float(flat.mean()), flat.numel())

    @property
    def kurtosis(self) -> float:
        """E w^4 / (E w^2)^2, at least that of a uniform distribution."""
        return max(self.fourth / self.second**2, SMALLEST_KURTOSIS) if self.second > 0 else SMALLEST_KURTOSIS

    @property
    def error(self) -> float:
        """Standard error of the second moment."""
        return self.second * sqrt((self.kurtosis - 1) / self.count)

    def z(self, variance: float) -> float:
        """Standard errors between the second moment and a variance."""
        if variance == 0:
            return 0.0 if self.second == 0 else float("inf")
        return (self.second - variance) / (variance * sqrt((self.kurtosis - 1) / self.count))

    @property
    def z_mean(self) -> float:
        """Standard errors between the mean and zero."""
        return self.mean / sqrt(self.second / self.count) if self.second > 0 else 0.0


def declared(owner: nn.Module, name: str, tensor: Tensor) -> float | None:
    """The variance that the class of a module gives a tensor of its own in `reset_parameters`; None where unknown.

    Linear and convolutions draw weights and biases from U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)).
    """
    reset = getattr(type(owner), "reset_parameters", None)
    convolution = nn.modules.conv._ConvNd
    if isinstance(owner, nn.Linear) and reset is nn.Linear.reset_parameters:
        return 1 / (3 * fan_in(owner.weight))
    if isinstance(owner, convolution) and reset is convolution.reset_parameters and not owner.transposed:
        return 1 / (3 * fan_in(owner.weight))
    if isinstance(owner, nn.MultiheadAttention) and name.endswith("weight"):
        return 2 / (tensor.shape[0] + tensor.shape[1])
    if isinstance(owner, nn.Embedding) and reset is nn.Embedding.reset_parameters:
        return 1.0
    return None


def fan_in(weight: Tensor) -> int:
    """Inputs of one output of a weight (out, in, *kernel)."""
    return weight[0].numel() if weight.dim() > 1 else 1


def known(tensor: Tensor, fan: int) -> Mapping[str, float]:
    """Variances of initializations that are in use, by their names, for a tensor of that fan-in."""
    if tensor.dim() < 2:
        return {"uniform in 1 / sqrt(fan_in)": 1 / (3 * fan), "standard normal": 1.0}
    out = tensor.numel() // fan
    receptive = tensor[0, 0].numel() if tensor.dim() > 2 else 1
    fan_out = out * receptive
    return {
        "torch's default": 1 / (3 * fan),
        "He": 2 / fan,
        "LeCun": 1 / fan,
        "Xavier": 2 / (fan + fan_out),
        "Xavier, gain 5/3": (5 / 3) ** 2 * 2 / (fan + fan_out),
        "Xavier, gain sqrt(2)": 4 / (fan + fan_out),
        "He, fan_out": 2 / fan_out,
        "orthogonal": 1 / max(fan, out),
        "orthogonal, gain sqrt(2)": 2 / max(fan, out),
        "normal, 0.02": 0.02**2,
        "normal, 0.01": 0.01**2,
        "standard normal": 1.0,
    }


def recognized(tensor: Tensor, fan: int, sampled: Sampled, within: float) -> tuple[str, float] | None:
    """The known initialization that the second moment fits best, if it fits within that many standard errors."""
    fits = {name: abs(sampled.z(variance)) for name, variance in known(tensor, fan).items()}
    best = min(fits, key=lambda name: fits[name])
    return (best, known(tensor, fan)[best]) if fits[best] <= within else None


def trained_sign(tensor: Tensor, sampled: Sampled, limit: float) -> str:
    """Why a tensor does not look as if it were drawn independently and centered; "" where it does.

    Tests of the mean, of the spread of rows and of columns, and of the largest singular value against the edge of
    random matrices, (sqrt(rows) + sqrt(columns)) sigma, with fluctuations of Tracy and Widom.
    """
    if abs(sampled.z_mean) > limit:
        return f"the mean of its numbers is {sampled.mean:.3g}, {abs(sampled.z_mean):.0f} standard errors from 0"
    if tensor.dim() < 2 or sampled.second == 0:
        return ""
    matrix = tensor.detach().double().reshape(tensor.shape[0], -1)
    for what, one in (("rows", matrix), ("columns", matrix.T)):
        count, length = one.shape
        if count < 2:
            continue
        spread = one.square().mean(1).var().item()
        chance = sampled.second**2 * (sampled.kurtosis - 1) / length
        z = (spread / chance - 1) / sqrt(2 / (count - 1) + 12 / (count * length))
        if z > 2 * limit:
            return f"its {what} differ in size by more than chance ({z:.0f} standard errors)"
    rows, columns = matrix.shape
    if min(rows, columns) >= PADDED:
        top = float(torch.linalg.matrix_norm(matrix, 2)) ** 2 / sampled.second
        edge, scale = sqrt(rows) + sqrt(columns), (1 / sqrt(rows) + 1 / sqrt(columns)) ** (1 / 3)
        z = (top - edge**2) / (edge * scale)
        if z > limit:
            return f"its largest singular value is {sqrt(top) / edge:.2f} times that of independent numbers"
    return ""
