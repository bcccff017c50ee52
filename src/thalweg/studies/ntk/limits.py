"""What depth does to the condition number: the two limits, where they do not apply, and the map of phases."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.figures import Axis, Contour, Figure, HeatMap, ReferenceLine
from thalweg.studies.ntk.setting import share_of

Array = NDArray[np.float64]
SMOOTH_BIAS, MAP_BIAS = 0.3, 0.05
DEEP, LESS_DEEP = 3_000, 1_000
NORMS, BIASED = "ReLU, inputs of several norms", "ReLU, depth 100, sigma_b 0.1"
BIASED_DEEPER, UNBIASED = "ReLU, depth 1,000, sigma_b 0.1", "erf without biases"
EARLIER = "erf, depth 1,000"
MAP_DEPTHS = (1, 2, 4, 8, 16, 32, 64)
MAP_STDS = np.linspace(0.8, 2.4, 17)


def critical(bias_std: float) -> float:
    """sigma_w of erf at which, in the long run, two nearly equal inputs neither come together nor grow apart.

    sigma_w^2 E phi'(u)^2 = 1 at the variance q = sigma_w^2 E phi(u)^2 + sigma_b^2 that layers keep: Poole et al. (2016,
    arXiv:1606.05340). So sigma_b^2 = q - E phi(u)^2 / E phi'(u)^2, which grows with q.
    """
    dual, low, high = ntk.dual_of("erf", {}), 0.0, 10.0
    for _ in range(60):
        q = torch.tensor((low + high) / 2, dtype=torch.float64)
        below = float(q - dual.second_moment(q) / dual.derivative(q)) < bias_std**2
        low, high = (float(q), high) if below else (low, float(q))
    return float(dual.derivative(q)) ** -0.5


def limits(one_norm: Float[Tensor, "n d"], other_norms: Float[Tensor, "n d"]) -> dict[str, float]:
    """Condition numbers of deep kernels over what theory says of n inputs, and where it does not apply, as they are."""
    n, depths, smooth = len(one_norm), (100, LESS_DEEP, DEEP), critical(SMOOTH_BIAS)
    inputs, biases = torch.stack([one_norm, one_norm, other_norms]), torch.tensor([0.0, 0.1, 0.0])
    relu = ntk.over_depth(inputs, activation="relu", weight_std=2**0.5, bias_std=biases, depths=depths)
    biases = torch.tensor([SMOOTH_BIAS, 0.0])
    erf = ntk.over_depth(one_norm, activation="erf", weight_std=smooth, bias_std=biases, depths=depths)
    first, second = (10 ** ntk.scores.condition_number(one.ntk).log10 for one in (relu, erf))  # (depths, cases)
    found = {
        "ReLU": first[2, 0] / ((n + 3) / 3),
        "erf": second[2, 0] / ((n + 2) / 2),
        EARLIER: second[1, 0] / ((n + 2) / 2),
        NORMS: first[2, 2],
        BIASED: first[0, 1],
        BIASED_DEEPER: first[1, 1],
        UNBIASED: second[1, 1],
    }
    return {name: float(number) for name, number in found.items()}


@dataclass(frozen=True)
class PhaseMap:
    """Over depth and sigma_w: log10 of the condition number, and what its kernel says of held-out digits.

    Args:
        log10, accuracy: (depths, sigma_w).
        singular: whether the number is but a lower bound, rounding being larger than the smallest eigenvalue.
    """

    log10: Array
    accuracy: Array
    singular: NDArray[np.bool_]

    def figure(self) -> Figure:
        """The condition number with contours of the accuracy, and the critical line."""
        depths = np.log2(MAP_DEPTHS)
        return Figure.of(
            "Condition number of erf nets",
            [
                HeatMap(MAP_STDS, depths, self.log10, label="log10"),
                Contour(MAP_STDS, depths, 100 * self.accuracy, label="% of held-out digits"),
                ReferenceLine(critical(MAP_BIAS), "vertical", label="critical"),
            ],
            Axis("sigma_w"),
            Axis("log2 of the depth"),
        )


def phases(
    inputs: Float[Tensor, "n d"], targets: Float[Tensor, " n"], held: Float[Tensor, "k d"], labels: Array
) -> PhaseMap:
    """Kernels of erf nets at every depth and sigma_w, and of each the answers of regression."""
    stds = torch.as_tensor(MAP_STDS)
    kernel, cross = (
        ntk.over_depth(one, inputs, activation="erf", weight_std=stds, bias_std=MAP_BIAS, depths=MAP_DEPTHS).ntk
        for one in (inputs, held)
    )
    number = ntk.scores.condition_number(kernel)
    flat = [one.flatten(0, 1) for one in (kernel, cross)]
    outputs = ntk.regression(flat[0], flat[1], targets, ridge=share_of(flat[0], 1e-6))["test"]
    accuracy = ntk.accuracy(outputs, labels).reshape(kernel.shape[:2])
    return PhaseMap(number.log10, accuracy, number.singular)
