"""The lecture's formulas for tangent kernels of three architectures, as they are written, to be compared with the nets.

Where a formula can be read in several ways, the first is that which is scored. Covariances Sigma are before
nonlinearities, and Sigma-dot_l is that of the derivative under Sigma_(l-1), 1 in the first layer, as in the papers from
which the formula comes. Of patches, those of the receptive field's size come nearest.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg import ntk
from thalweg.studies.ntk.families import BIAS_STD, WEIGHT_STD


def layers(inputs: Tensor, activation: str, hidden: int) -> tuple[list[Tensor], list[Tensor]]:
    """Sigma of every layer, the output's last, and Sigma-dot of every nonlinearity, of a perceptron.

    Args:
        inputs: (..., n, d).
        activation: of the hidden layers; the output layer's weights have the standard deviation 1.
        hidden: how many.

    Returns:
        hidden + 1 covariances and hidden covariances of derivatives, times the next layer's variance: (..., n, n) each.
    """
    dual, inputs = ntk.dual_of(activation, {}), inputs.double()
    stds = [WEIGHT_STD[activation]] * hidden + [1.0]
    sigmas, dots = [stds[0] ** 2 * inputs @ inputs.mT / inputs.shape[-1] + BIAS_STD**2], []
    for std in stds[1:]:
        q = sigmas[-1].diagonal(dim1=-2, dim2=-1)
        rows, columns = q[..., :, None], q[..., None, :]
        distance, dot = dual.pair(rows, columns, ((rows + columns) / 2 - sigmas[-1]).clamp_min(0))
        moment = dual.second_moment(q)
        sigmas.append(std**2 * ((moment[..., :, None] + moment[..., None, :]) / 2 - distance) + BIAS_STD**2)
        dots.append(std**2 * dot)
    return sigmas, dots


def perceptron(inputs: Tensor, activation: str, hidden: int) -> Tensor:
    """Theta, the corrected recursion: Theta_0 = Sigma_0, Theta_l = Sigma_l + Theta_(l-1) Sigma-dot_l."""
    sigmas, dots = layers(inputs, activation, hidden)
    theta = sigmas[0]
    for sigma, dot in zip(sigmas[1:], dots, strict=True):
        theta = sigma + theta * dot
    return theta


def summed(inputs: Tensor, activation: str, hidden: int) -> dict[str, Tensor]:
    """The lecture's sum_l Sigma_l Sigma-dot_l, in which every term has one factor.

    "from the inputs": Sigma-dot_l of the layer before, 1 in the first; "layer by layer": of the layer itself, over the
    hidden ones.
    """
    sigmas, dots = layers(inputs, activation, hidden)
    return {
        "from the inputs": sigmas[0] + sum(a * b for a, b in zip(sigmas[1:], dots, strict=True)),
        "layer by layer": torch.stack([a * b for a, b in zip(sigmas[:-1], dots, strict=True)]).sum(0),
    }


def over_patches(images: Tensor, size: int) -> Tensor:
    """The lecture's sum of the fully connected kernel over patches, as their mean: of size x size, zeros around.

    The kernel is that of two hidden ReLU layers, corrected.
    """
    patches = F.unfold(images.double(), size, padding=size // 2)
    return perceptron(patches.permute(2, 0, 1), "relu", 2).mean(0)


def attended(tokens: Tensor) -> Tensor:
    """The lecture's sum of alpha(x) alpha(x') Theta(x_i, x'_j) over tokens i, j; the mean over tokens that attend.

    Theta is that of the layer on tokens, and alpha the softmax of its covariance, as with scores q . q / size.
    """
    tokens = tokens.double()
    sigma = torch.einsum("nid,mjd->nmij", tokens, tokens) / tokens.shape[-1] + BIAS_STD**2
    alpha = sigma.diagonal(dim1=0, dim2=1).permute(2, 0, 1).softmax(-1)
    return ntk.attention.attended(sigma, alpha, alpha).mean((2, 3))


def of(name: str, inputs: Tensor) -> dict[str, Tensor]:
    """The formula's readings for a case of `families`, that which is scored first; none where it cannot be written."""
    perceptrons = {
        "FC, ReLU, 3 layers": ("relu", 3),
        "FC, tanh, 2 layers": ("tanh", 2),
        "FC, GELU, 2 layers": ("gelu", 2),
    }
    if name in perceptrons:
        return summed(inputs, *perceptrons[name])
    if name.startswith("CNN"):
        return {f"patches {size} x {size}": over_patches(inputs, size) for size in (5, 3)}
    return {"q . q / d": attended(inputs)} if name == "attention, 1/d, tied" else {}
