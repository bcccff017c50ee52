"""Integrals over a standard Gaussian with Hermite functions, by Gauss-Legendre panels that end at kinks."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

END = 14.0  # the square root of the density is 5e-22 of its peak there
NODES = 24  # a panel
PANELS = 24  # on either side of zero
FEWER = 12  # between two places each, where kinks beyond zero make more pieces


@functools.lru_cache(maxsize=16)
def panels(count: int) -> tuple[Tensor, Tensor]:
    """Places in [0, 1] and weights of Gauss-Legendre rules on `count` equal panels."""
    places, weights = np.polynomial.legendre.leggauss(NODES)
    starts = np.arange(count)[:, None]
    all_places = (starts + (1 + places) / 2).ravel() / count
    return torch.from_numpy(all_places), torch.from_numpy(np.tile(weights, count) / (2 * count))


@dataclass(frozen=True, eq=False)
class Rule:
    """Where the standard Gaussian is looked at.

    Args:
        places: z, shape (1, nodes), or (lengths, nodes) where kinks lie elsewhere for every length.
        root: the square root of the density there.
        weights: times that root: E f(z) = sum(weights * root * f(places)).
    """

    places: Tensor
    root: Tensor
    weights: Tensor

    @classmethod
    def of(cls, x: Tensor, kinks: tuple[float, ...], *, less: int = 0) -> "Rule":
        """For functions of x z that are smooth but at the kinks and at zero; x has shape (lengths, 1)."""
        if not kinks:
            return _without_kinks(PANELS - less, x.device)
        breaks = [torch.full_like(x, end) for end in (-END, 0.0, END)]
        breaks += [(kink / x.clamp_min(1e-12)).clamp(-END, END) for kink in kinks]
        return cls.between(torch.cat(breaks, 1).detach().sort(1).values, FEWER - less)

    @classmethod
    def between(cls, edges: Tensor, count: int) -> "Rule":
        """By `count` panels between every two places, (1 or lengths, places), ascending."""
        unit, weights = (one.to(edges.device) for one in panels(count))
        widths = edges.diff(dim=1)
        places = (edges[:, :-1, None] + widths[:, :, None] * unit).flatten(1)
        root = torch.exp(-(places**2) / 4) / (2 * torch.pi) ** 0.25
        return cls(places, root, (widths[:, :, None] * weights).flatten(1) * root)

    def mean(self, values: Tensor) -> Tensor:
        """E f(z), of values f(z), shape (lengths, nodes)."""
        return (values * self.weights * self.root).sum(1)

    def coefficients(self, values: Tensor, count: int) -> Tensor:
        """E f(z) h_k(z) for the first `count` normalized Hermite polynomials, shape (lengths, count)."""
        weighted = values * self.weights
        if len(self.places) == 1:
            return weighted @ _table(self, 32 * -(-count // 32))[:count].T
        return torch.stack([(weighted * psi).sum(1) for psi in self._functions(count)], 1)

    def _functions(self, count: int) -> Iterator[Tensor]:
        """psi_k = h_k times the root of the density: sqrt(k + 1) psi_{k+1} = z psi_k - sqrt(k) psi_{k-1}."""
        lower, now = torch.zeros_like(self.root), self.root
        for k in range(count):
            yield now
            lower, now = now, torch.addcmul(lower * -((k / (k + 1)) ** 0.5), self.places, now, value=(k + 1) ** -0.5)


@functools.lru_cache(maxsize=16)
def _without_kinks(count: int, device: torch.device) -> Rule:
    """Which is the same for all lengths."""
    return Rule.between(torch.tensor([[-END, 0.0, END]], dtype=torch.float64, device=device), count)


@functools.lru_cache(maxsize=8)
def _table(rule: Rule, count: int) -> Tensor:
    """The first functions at the places of a rule that is the same for all lengths: (count, nodes)."""
    return torch.cat(list(rule._functions(count)))
