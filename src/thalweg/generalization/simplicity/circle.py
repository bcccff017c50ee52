"""The circle, on which frequencies are the modes of every kernel that turns with it."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from thalweg.arguments import in_words
from thalweg.data import Data, Examples
from thalweg.errors import UsageError, check_count
from thalweg.randomness import generator


def circle(
    points: int = 64, frequencies: Sequence[int] = (3, 5, 7, 9), *, amplitude: float = 0.02, seed: int = 0
) -> Data:
    """Equally spaced points (cos theta, sin theta) with targets amplitude * sum over k of cos(k theta + phase_k).

    >>> from thalweg.generalization import simplicity
    >>> data = simplicity.circle(16, (1, 3))
    >>> modes = data.ground_truth["modes"]
    >>> gram = modes @ modes.T  # orthogonal, of squared length points / 2
    >>> gram.diagonal().round(decimals=6).tolist(), bool(gram[0, 1].abs() < 1e-9)
    ([8.0, 8.0], True)

    Args:
        points: inputs (points, 2), targets (points, 1), float64.
        frequencies: different, from 1 to below points / 2.
        amplitude: of every frequency; small, a network stays near its tangent kernel.
        seed: of the phases, uniform: the stream (seed, "circle phases").

    `ground_truth` has "angles" (points,), "frequencies" (k,), "phases" (k,) and "modes" (k, points), cos(k theta +
    phase_k).

    Raises:
        UsageError: frequencies that the points cannot tell apart.
    """
    check_count("circle points", points, 3)
    known = [int(k) for k in frequencies]
    if not known or len(set(known)) < len(known) or min(known) < 1 or 2 * max(known) >= points:
        msg = f"circle frequencies must be different, from 1 to below points / 2 = {points / 2:g}; got {known}."
        raise UsageError(msg)
    angles = torch.arange(points, dtype=torch.float64) * (2 * math.pi / points)
    phases = torch.rand(len(known), generator=generator(seed, "circle phases"), dtype=torch.float64) * 2 * math.pi
    order = torch.tensor(known)
    modes = torch.cos(order[:, None] * angles + phases[:, None])
    inputs = torch.stack([angles.cos(), angles.sin()], 1)
    return Data(
        Examples(inputs, amplitude * modes.sum(0)[:, None]),
        name="circle",
        notes=(f"{points} points of the circle, frequencies {', '.join(map(str, known))} (seed {seed})",),
        ground_truth={"angles": angles, "frequencies": order, "phases": phases, "modes": modes},
    )


class LazyNet(nn.Module):
    """A ReLU network with one hidden layer in NTK parameterization that starts at 0, to rounding.

        f(x) = sum over i of a_i relu(w_i . x + b_i) / sqrt(2 width),    w, a ~ N(0, 1),    b = 0

    Unit width + i starts as unit i with the opposite sign of a, so that f = 0 at the start and the tangent kernel is
    that of one half.

    >>> import torch
    >>> from thalweg.generalization import simplicity
    >>> net = simplicity.LazyNet(2, 1_024)
    >>> net(torch.randn(5, 2)).abs().max().item() < 1e-5
    True

    Args:
        inputs: features.
        width: of a half; 2 width units are trained.
        bias: whether units have one; without, odd frequencies from 3 are never learned on the circle.
    """

    def __init__(self, inputs: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        check_count("LazyNet inputs", inputs)
        check_count("LazyNet width", width)
        self.hidden = nn.Linear(inputs, 2 * width, bias=bias)
        self.output = nn.Linear(2 * width, 1, bias=False)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(width, inputs).repeat(2, 1))
            half = torch.randn(1, width)
            self.output.weight.copy_(torch.cat([half, -half], 1))
            if bias:
                self.hidden.bias.zero_()
        self.factor = 1 / math.sqrt(2 * width)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, inputs) to (batch, 1)."""
        return self.output(self.hidden(inputs).relu()) * self.factor


@in_words
def circle_kernel(angles: ArrayLike, *, bias: bool = True) -> NDArray[np.float64]:
    """The tangent kernel of `LazyNet` of infinite width on the circle: (points,) to (points, points).

        K(d) = (sin d + (pi - d) cos d) / (2 pi) + (cos d + [bias]) (pi - d) / (2 pi),    d the angle between, 0 to pi

    Of equally spaced points its eigenvectors are cos(k theta) and sin(k theta), and its eigenvalues fall as 1 / k^2
    along odd k from 3 with a bias; without, they are 0 there.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> row = simplicity.circle_kernel(np.arange(512) * 2 * np.pi / 512)[0]
    >>> values = np.fft.rfft(row).real / 512
    >>> [round(float(values[k] * np.pi**2 * k**2), 2) for k in (3, 5, 7)]
    [1.0, 1.0, 1.0]

    Args:
        angles: in radians: (points,).
        bias: whether hidden units have a trained one that starts at 0.

    Papers: Jacot, Gabriel & Hongler (2018), arXiv:1806.07572; Basri et al. (2019), arXiv:1906.00425.
    """
    theta = np.asarray(angles, dtype=np.float64)
    cosine = np.cos(theta[:, None] - theta[None]).clip(-1, 1)
    between = np.arccos(cosine)
    active = (np.pi - between) / (2 * np.pi)
    return np.sin(between) / (2 * np.pi) + active * cosine + (cosine + bias) * active
