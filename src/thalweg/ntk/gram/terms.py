"""What one parameter adds to a kernel: its gradients, or factors of which they are sums of products."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thalweg.ntk.gram.features import Features
from thalweg.ntk.gram.program import shape_of
from thalweg.ntk.gram.sites import CONVOLUTIONS, Site, argument, kind_of
from thalweg.ntk.gram.windows import windows


@dataclass(frozen=True, eq=False)
class Products:
    """Gradients that are sums of products over positions, of members m, examples n and outputs c.

        gradient[m, n, c, r, s] = sum_p rows[m, n, c, p, r] columns[m, n, p, s]

    Args:
        rows: cotangents, (members, examples, outputs, positions, rows).
        columns: inputs, (members, examples, positions, columns); of lookups the tokens, (members, examples, positions):
            column s is then 1 where token s is read.
        tokens: how many there are, of a lookup; 0 of others.
        offset: what a bias, whose inputs are all one number, adds to inner products of columns: its square; 0: none.
    """

    rows: Tensor
    columns: Tensor
    tokens: int = 0
    offset: float = 0.0

    @property
    def positions(self) -> int:
        """Over which gradients are sums."""
        return self.rows.shape[3]

    @property
    def width(self) -> int:
        """Columns."""
        return self.tokens or self.columns.shape[-1]

    def of(self, examples: slice) -> "Products":
        """Those of some examples."""
        return replace(self, rows=self.rows[:, examples], columns=self.columns[:, examples])

    def gradients(self, rows: slice) -> Tensor:
        """Those of some rows: (members, examples, outputs, rows * columns)."""
        some = self.rows[..., rows]
        members, examples, outputs, positions, count = some.shape
        left = some.transpose(-1, -2).reshape(members * examples, outputs * count, positions)
        right = self.dense().reshape(members * examples, positions, self.width)
        return torch.bmm(left, right).view(members, examples, outputs, count * self.width)

    def dense(self) -> Tensor:
        """The columns as numbers."""
        if not self.tokens:
            return self.columns
        return torch.nn.functional.one_hot(self.columns, self.tokens).to(self.rows.dtype)

    def overlap(self, other: "Products") -> Tensor:
        """Inner products of columns: (members, examples * positions, other examples * positions)."""
        if self.tokens:
            first, second = self.columns.flatten(1), other.columns.flatten(1)
            return (first.unsqueeze(2) == second.unsqueeze(1)).to(self.rows.dtype)
        found = torch.bmm(self.columns.flatten(1, 2), other.columns.flatten(1, 2).mT)
        return found.add_(self.offset) if self.offset else found


def products(features: Features, sites: Sequence[Site], *, offset: float = 0.0) -> Products:
    """Factors of a weight's gradients; those of several uses are further positions."""
    parts = [_factors(features, site) for site in sites]
    rows = parts[0][0] if len(parts) == 1 else torch.cat([rows for rows, _ in parts], 3)
    columns = parts[0][1] if len(parts) == 1 else torch.cat([columns for _, columns in parts], 2)
    first = sites[0]
    tokens = shape_of(first.node.args[0])[0] if first.kind == "lookup" else 0
    return Products(rows, columns, tokens, offset)


def sums(features: Features, sites: Sequence[Site]) -> Tensor:
    """Gradients of a bias: (members, examples, outputs, size)."""
    total: Tensor | None = None
    for site in sites:
        part = features.cotangents[site.node.name]
        if kind_of(site.node) in CONVOLUTIONS:
            part = part.flatten(5).sum(-1) if part.ndim > 5 else part
        part = part.reshape(*part.shape[:3], -1, part.shape[-1]).sum(3)
        part = part if site.scale == 1 else part * site.scale
        total = part if total is None else total + part
    assert total is not None
    return total


def _factors(features: Features, site: Site) -> tuple[Tensor, Tensor]:
    """Cotangents (members, examples, outputs, positions, rows) and inputs (members, examples, positions, ...)."""
    name = site.node.name
    rows, columns = features.cotangents[name], features.inputs[name]
    if site.kind == "convolution":
        rows = rows.flatten(5).transpose(3, 4).flatten(4).mT if rows.shape[3] > 1 else rows.squeeze(3).flatten(4).mT
        cells = shape_of(site.node.args[1])[2:]
        options = (argument(site.node, place, otherwise) for place, otherwise in ((3, 1), (4, 0), (5, 1)))
        seen = windows(columns.flatten(0, 2), cells, *options)
        columns = seen.reshape(*columns.shape[:2], -1, seen.shape[-1])
    elif site.kind == "lookup":
        columns = columns.reshape(*columns.shape[:2], -1)
        rows = rows.reshape(*rows.shape[:3], -1, rows.shape[-1])
        padding = argument(site.node, 2, -1)
        if isinstance(padding, int) and padding >= 0:
            rows = rows * (columns != padding).unsqueeze(2).unsqueeze(-1)
    else:
        rows = rows.reshape(*rows.shape[:3], -1, rows.shape[-1])
        columns = columns.reshape(*columns.shape[:2], -1, columns.shape[-1])
    return (rows if site.scale == 1 else rows * site.scale), columns
