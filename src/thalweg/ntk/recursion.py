"""Kernels of fully connected networks of infinite width at many depths, from one recursion."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import DataError, UsageError, check_type
from thalweg.ntk.dual import Dual, dual_of


@dataclass(frozen=True, eq=False)
class KernelsOverDepth:
    """Both kernels at every depth that was asked for; `over_depth` makes them.

    >>> import torch
    >>> import thalweg as tw
    >>> tw.ntk.over_depth(torch.eye(3), weight_std=1.5, bias_std=0.1, depths=[1, 4]).ntk.shape
    torch.Size([2, 3, 3])

    Args:
        depths: numbers of hidden layers.
        nngp: K, the covariance of one output over initializations: (depths, *batch, n, m), float64.
        ntk: Theta, its tangent kernel: (depths, *batch, n, m), float64.
    """

    depths: tuple[int, ...]
    nngp: Float[Tensor, "depths *batch n m"]
    ntk: Float[Tensor, "depths *batch n m"]


@in_words
def over_depth(
    inputs: Float[Tensor, "*batch n d"],
    others: Float[Tensor, "*batch m d"] | None = None,
    *,
    activation: str | Dual = "relu",
    weight_std: float | Float[Tensor, "*batch"],
    bias_std: float | Float[Tensor, "*batch"],
    depths: Sequence[int],
) -> KernelsOverDepth:
    """Kernels of fully connected networks in NTK parameterization, as `nets.ntk_mlp`, at many depths at once.

        K_1 = sigma_w^2 x x' / d + sigma_b^2,    K_(l+1) = sigma_w^2 E phi(u) phi(v) + sigma_b^2,    (u, v) ~ N(0, K_l)
        Theta_1 = K_1,    Theta_(l+1) = K_(l+1) + sigma_w^2 Theta_l E phi'(u) phi'(v)

    and the output layer alike, with sigma_w = 1. `infinite` gives the same of one module; here the recursion is taken
    once for all depths, thousands of them, and for a batch of data sets or of deviations. Distances E (u - v)^2 / 2 are
    carried instead of K, so that inputs which come together with depth keep their digits.

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.nn.functional.normalize(torch.tensor([[3.0, 1.0], [1.0, -2.0], [-1.0, -1.0]]), dim=1)
    >>> deep = tw.ntk.over_depth(x, weight_std=2**0.5, bias_std=0.0, depths=[1, 10, 1_000])
    >>> [round(10 ** float(one), 2) for one in tw.ntk.scores.condition_number(deep.ntk).log10]  # to (n + 3) / 3
    [2.5, 2.54, 2.02]

    Args:
        inputs: examples, (*batch, n, d).
        others: the columns' examples, (*batch, m, d); None: the inputs.
        activation: the name of an operation, such as "relu", "erf", "gelu" or "tanh", or a dual.
        weight_std, bias_std: sigma_w of hidden layers and sigma_b of all: numbers, or one for every batch entry.
        depths: numbers of hidden layers, at least 1, ascending.

    Raises:
        UsageError: depths that do not ascend from 1, deviations that are negative, or shapes that do not fit.
        DataError: inputs that are not finite.
        ModelError: an unknown activation.

    Cost: n m times the largest depth, about 0.2 ms a layer of few inputs in closed form, 7 ms by Hermite series.

    References:
        Jacot, Gabriel & Hongler (2018, arXiv:1806.07572); the limits of large depth: Xiao, Pennington & Schoenholz
        (2020, arXiv:1912.13053).
    """
    asked = _depths(depths)
    x, y = _inputs(inputs), _inputs(inputs if others is None else others)
    dual = dual_of(activation, {}) if isinstance(activation, str) else activation
    weight, bias = _variance("weight_std", weight_std, x), _variance("bias_std", bias_std, x)
    try:
        q, other = ((one.square().mean(-1).unsqueeze(at) * weight + bias) for one, at in ((x, -1), (y, -2)))
        apart = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")  # by differences, not by products
        distance = weight * apart.square() / (2 * x.shape[-1])
    except RuntimeError as error:
        shapes = f"{tuple(x.shape)}, {tuple(y.shape)}, {tuple(weight.shape)} and {tuple(bias.shape)}"
        msg = f"Inputs, others, weight_std and bias_std of over_depth must fit each other; got {shapes}."
        raise UsageError(msg) from error
    theta = (q + other) / 2 - distance
    distance = distance.broadcast_to(theta.shape).contiguous()  # also where biases alone differ over a batch
    found = []
    for depth in range(1, asked[-1] + 1):
        farther, gain = dual.pair(q, other, distance)
        moment = dual.second_moment(q)
        moments = moment, moment.mT if others is None else dual.second_moment(other)
        passed = theta * gain
        if depth in asked:
            covariance = (moments[0] + moments[1]) / 2 - farther + bias
            found.append((covariance, covariance + passed))
        q, other = (weight * moment + bias for moment in moments)
        distance = weight * farther
        theta = (q + other) / 2 - distance + weight * passed
    nngp, ntk = (torch.stack(each) for each in zip(*found, strict=True))
    return KernelsOverDepth(asked, nngp, ntk)


def _depths(depths: Sequence[int]) -> tuple[int, ...]:
    asked = tuple(depths)
    whole = all(isinstance(depth, int) and not isinstance(depth, bool) for depth in asked)
    if not asked or not whole or asked[0] < 1 or list(asked) != sorted(set(asked)):
        msg = f"depths of over_depth are numbers of hidden layers that ascend from at least 1; got {asked}."
        raise UsageError(msg)
    return asked


def _inputs(inputs: Tensor) -> Tensor:
    check_type("over_depth inputs", inputs, Tensor, "a tensor (..., n, d)")
    if inputs.dim() < 2 or not inputs.numel() or not bool(inputs.isfinite().all()):
        msg = f"over_depth takes finite inputs (..., n, d); got {tuple(inputs.shape)}."
        raise DataError(msg)
    return inputs.detach().double()


def _variance(name: str, deviation: float | Tensor, like: Tensor) -> Tensor:
    """The square, with two dimensions more, for examples and others."""
    given = torch.as_tensor(deviation, dtype=torch.float64, device=like.device)
    if not bool((given.isfinite() & (given >= 0)).all()):
        msg = f"{name} of over_depth must be at least 0 and finite; got {deviation}."
        raise UsageError(msg)
    return given.square()[..., None, None]
