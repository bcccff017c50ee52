"""What the limit of infinite width asks of an activation: Gaussian means of it, its square and its derivative."""

from typing import Protocol

from torch import Tensor


class Dual(Protocol):
    """The dual of an activation phi: its means over Gaussian pre-activations.

    u ~ N(0, q) and v ~ N(0, q') have covariance K, given as their distance D = (q + q') / 2 - K = E (u - v)^2 / 2:
    near coincident inputs D keeps all its digits, where K = q to within rounding keeps none.

    All tensors broadcast against each other; the results of `pair` have the distance's dtype, float32 or float64.
    Gradients with respect to q, q' and D are finite, also at coincident and at zero inputs.

    Daniely, Frostig, Singer (2016), Toward deeper understanding of neural networks, arXiv:1602.05897.

    >>> import torch
    >>> import thalweg as tw
    >>> relu = tw.ntk.dual_of("relu", {})
    >>> q = torch.tensor([2.0, 2.0])
    >>> distance, slope = relu.pair(q[:, None], q[None, :], torch.tensor([[0.0, 2.0], [2.0, 0.0]]))
    >>> slope  # of coincident and of uncorrelated pre-activations
    tensor([[0.5000, 0.2500],
            [0.2500, 0.5000]])
    """

    @property
    def name(self) -> str:
        """Of the activation."""
        ...

    @property
    def error(self) -> float:
        """A bound on the absolute error of all distances and second moments given so far; 0.0 for closed forms."""
        ...

    @property
    def slope_error(self) -> float:
        """Likewise of E phi'(u) phi'(v)."""
        ...

    def mean(self, q: Tensor) -> Tensor:
        """E phi(u)."""
        ...

    def second_moment(self, q: Tensor) -> Tensor:
        """E phi(u)^2: the variance that the next layer sees."""
        ...

    def derivative(self, q: Tensor) -> Tensor:
        """E phi'(u)^2: what the tangent kernel of an input with itself is multiplied by."""
        ...

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """E (phi(u) - phi(v))^2 / 2, the next layer's distance, and E phi'(u) phi'(v)."""
        ...
