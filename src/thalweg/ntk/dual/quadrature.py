"""Integrals over a standard Gaussian with Hermite functions, by Gauss-Legendre panels that end at kinks."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

END = 14.0  # the square root of the density is 5e-22 of its peak there
NODES = 24  # a panel
PANELS = 24  # between two kinks; between the ends of the line where there is none, twice as many


@functools.lru_cache(maxsize=16)
def panels(count: int) -> tuple[Tensor, Tensor]:
    """Places in [0, 1] and weights of Gauss-Legendre rules on `count` equal panels."""
    places, weights = np.polynomial.legendre.leggauss(NODES)
    starts = np.arange(count)[:, None]
    return torch.from_numpy((starts + (1 + places) / 2).ravel() / count), torch.from_numpy(
        np.tile(weights, count) / (2 * count)
    )


@dataclass(frozen=True)
class Rule:
    """Where the standard Gaussian is looked at, and with which weights times the square root of its density.

    Args:
        places: z, shape (1, nodes), or (lengths, nodes) where kinks lie elsewhere for every length.
        weights: of the same shape; E f(z) = sum(weights * root * f(places)).
        root: the square root of the density.
    """

    places: Tensor
    weights: Tensor
    root: Tensor

    @classmethod
    def of(cls, x: Tensor, kinks: tuple[float, ...], count: int = PANELS) -> "Rule":
        """For functions of x z that are smooth but at the kinks and at zero; x has shape (lengths, 1)."""
        breaks = [torch.full_like(x[:1], end) for end in (-END, 0.0, END)]
        if any(kinks):
            breaks = [one.expand_as(x) for one in breaks]
            breaks += [(kink / x.clamp_min(1e-12)).clamp(-END, END) for kink in kinks if kink]
        edges = torch.cat(breaks, 1).sort(1).values
        unit, weights = (one.to(x.device) for one in panels(count))
        widths = edges.diff(dim=1)
        places = (edges[:, :-1, None] + widths[:, :, None] * unit).flatten(1)
        root = torch.exp(-(places**2) / 4) / (2 * torch.pi) ** 0.25
        return cls(places, (widths[:, :, None] * weights).flatten(1) * root, root)

    def coefficients(self, values: Tensor, count: int) -> Tensor:
        """E f(z) h_k(z) for the first `count` normalized Hermite polynomials; values f(z): (lengths, nodes)."""
        weighted = values * self.weights
        if len(self.places) == 1:
            return weighted @ _functions(self, count).T
        lower, now = torch.zeros_like(self.root), self.root
        found = []
        for k in range(count):
            found.append((weighted * now).sum(1))
            lower, now = now, self._next(lower, now, k)
        return torch.stack(found, 1)

    def _next(self, lower: Tensor, now: Tensor, k: int) -> Tensor:
        """Sqrt(k + 1) psi_{k+1} = z psi_k - sqrt(k) psi_{k-1}, of psi_k = h_k times the root of the density."""
        return (self.places * now - k**0.5 * lower) / (k + 1) ** 0.5

    def mean(self, values: Tensor) -> Tensor:
        """E f(z)."""
        return (values * self.weights * self.root).sum(1)


def _functions(rule: Rule, count: int) -> Tensor:
    """psi_0, psi_1, ... at the places of a rule that all lengths share."""
    lower, now = torch.zeros_like(rule.root[0]), rule.root[0]
    rows = []
    for k in range(count):
        rows.append(now)
        lower, now = now, (rule.places[0] * now - k**0.5 * lower) / (k + 1) ** 0.5
    return torch.stack(rows)
