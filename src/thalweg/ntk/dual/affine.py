"""An activation of a multiple of its input, multiplied and shifted: its dual costs nothing more."""

from dataclasses import dataclass

from torch import Tensor

from thalweg.ntk.dual.base import Dual


@dataclass(frozen=True)
class Affine:
    """phi(u) = outer * psi(inner * u) + shift: q, q' and D are scaled by inner^2, distances by outer^2."""

    dual: Dual
    inner: float = 1.0
    outer: float = 1.0
    shift: float = 0.0

    @property
    def name(self) -> str:
        """Of the activation within."""
        return self.dual.name

    @property
    def error(self) -> float:
        """That of the activation within, scaled."""
        return self.outer**2 * self.dual.error

    @property
    def slope_error(self) -> float:
        """Likewise."""
        return (self.outer * self.inner) ** 2 * self.dual.slope_error

    def mean(self, q: Tensor) -> Tensor:
        """Outer * E psi + shift."""
        return self.outer * self.dual.mean(self.inner**2 * q) + self.shift

    def second_moment(self, q: Tensor) -> Tensor:
        """E (outer * psi + shift)^2."""
        within = self.inner**2 * q
        mean = self.dual.mean(within) if self.shift else 0.0
        return self.outer**2 * self.dual.second_moment(within) + self.shift * (2 * self.outer * mean + self.shift)

    def derivative(self, q: Tensor) -> Tensor:
        """(outer * inner)^2 E psi'^2."""
        return (self.outer * self.inner) ** 2 * self.dual.derivative(self.inner**2 * q)

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Shifts do not change distances."""
        inner, outer = self.inner**2, self.outer**2
        away, slope = self.dual.pair(inner * q, inner * other, inner * distance)
        return outer * away, outer * inner * slope
