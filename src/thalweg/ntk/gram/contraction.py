"""Gram matrices of gradients, added to a kernel block by block."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.ntk.gram.counting import Block, by_factors, by_gradients
from thalweg.ntk.gram.slices import slices
from thalweg.ntk.gram.terms import Products

_ROWS = 128  # of a block of a symmetric matrix, of which the half is computed
_NUMBERS = 2**22  # in memory at once besides the kernel, at least


class Gram:
    """A part of a kernel to which parameters add.

    Args:
        kernel: "full": (members, examples, outputs, others, other outputs); "trace": (members, examples, others);
            "diagonal": (members, examples, outputs).
        form: which of these.
        symmetric: whether rows and columns are the same, so that the half of it is enough; `mirror` makes the whole.
        outputs: how many the model has, over which a trace is a mean.
        numbers: that may be in memory at once.
    """

    def __init__(self, kernel: Tensor, form: str, *, symmetric: bool, outputs: int, numbers: int = _NUMBERS) -> None:
        self.kernel, self.form, self.symmetric = kernel, form, symmetric
        self.share, self.numbers = 1 / outputs, max(1, numbers)

    def add_gradients(self, first: Tensor, second: Tensor) -> None:
        """Add first . second of gradients (members, examples, outputs, size)."""
        if self.form == "diagonal":
            self.kernel += first.square().sum(-1)
            return
        for rows, columns in self._blocks():
            left, right = first[:, rows], second[:, columns]
            if self.form == "full":
                part = self.kernel[:, rows, :, columns]
                part += torch.bmm(left.flatten(1, 2), right.flatten(1, 2).mT).view(part.shape)
            else:
                part = self.kernel[:, rows, columns]
                part.add_(torch.bmm(left.flatten(2), right.flatten(2).mT), alpha=self.share)

    def add_products(self, first: Products, second: Products) -> None:
        """Add the inner products of gradients that are sums of products, in the way of fewer multiply-adds."""
        members, examples, outputs, positions, count = first.rows.shape
        block = Block(self.form, examples, second.rows.shape[1], outputs, second.rows.shape[2])
        factors = by_factors(block, positions, second.positions, count, first.width)
        if positions == second.positions == 1:
            self._add_single(first, second)
        elif first.offset or first.tokens or factors < by_gradients(block, positions, count, first.width):
            self._add_factors(first, second)
        else:
            size = max(1, self.numbers // (members * examples * outputs * first.width * 2))
            for start in range(0, count, size):
                rows = slice(start, start + size)
                gradients = first.gradients(rows)
                self.add_gradients(gradients, gradients if second is first else second.gradients(rows))

    def mirror(self) -> None:
        """Fill in the half that was left out."""
        if not self.symmetric or self.form == "diagonal":
            return
        for rows, _ in self._blocks():
            after = slice(rows.stop, self.kernel.shape[1])
            if self.form == "full":
                self.kernel[:, after, :, rows] = self.kernel[:, rows, :, after].permute(0, 3, 4, 1, 2)
            else:
                self.kernel[:, after, rows] = self.kernel[:, rows, after].mT

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns, by examples, that cover the matrix or its upper half."""
        examples = self.kernel.shape[1]
        others = self.kernel.shape[3 if self.form == "full" else 2]
        for start in range(0, examples, self._size):
            stop = min(start + self._size, examples)
            yield slice(start, stop), slice(start if self.symmetric else 0, others)

    @property
    def _size(self) -> int:
        """Examples of a block."""
        return max(1, -(-_ROWS // (self.kernel.shape[2] if self.form == "full" else 1)))

    def _end(self, example: int) -> int:
        """Where the block of an example ends, which is computed as a whole."""
        return min(self.kernel.shape[1], -(-example // self._size) * self._size)

    def _add_single(self, first: Products, second: Products) -> None:
        """Of one position: inner products of inputs times those of cotangents."""
        if self.form == "diagonal":
            seen = first.columns.new_ones(()) if first.tokens else first.columns.square().sum(-1) + first.offset
            self.kernel += seen * first.rows.square().sum(-1).squeeze(-1)
            return
        for rows, columns in self._blocks():
            left, right = first.of(rows), second.of(columns)
            seen = left.overlap(right)
            if self.form == "full":
                part = self.kernel[:, rows, :, columns]
                changes = torch.bmm(left.rows.flatten(1, 3), right.rows.flatten(1, 3).mT).view(part.shape)
                part.addcmul_(changes, seen[:, :, None, :, None])
            else:
                changes = torch.bmm(left.rows.flatten(2), right.rows.flatten(2).mT)
                self.kernel[:, rows, columns].addcmul_(changes, seen, value=self.share)

    def _add_factors(self, first: Products, second: Products) -> None:
        """Of several positions: inner products of inputs at pairs of positions weigh those of cotangents."""
        if self.form == "diagonal":
            self._add_own(first)
            return
        if self.form == "full":
            self._add_weighed(first, second)
            return
        members, examples, _, positions, _ = first.rows.shape
        size = max(1, self.numbers // (members * examples * positions * second.positions * 3))
        for columns in slices(second.rows.shape[1], size):
            rows = slice(0, self._end(columns.stop) if self.symmetric else examples)
            left, right = first.of(rows), second.of(columns)
            flat = [one.rows.transpose(2, 3).flatten(3).flatten(1, 2) for one in (left, right)]
            changes = torch.bmm(flat[0], flat[1].mT).mul_(left.overlap(right))
            shape = members, rows.stop, positions, columns.stop - columns.start, second.positions
            self.kernel[:, rows, columns].add_(changes.view(shape).sum((2, 4)), alpha=self.share)

    def _add_weighed(self, first: Products, second: Products) -> None:
        """A column of one example at a time: what is made on the way then stays near the cores, and is never moved."""
        members, examples, outputs, positions, count = first.rows.shape
        others, other_outputs, other_positions = second.rows.shape[1:4]
        left = first.rows.reshape(members, examples, outputs, positions * count)
        right = second.rows.permute(0, 1, 3, 4, 2).reshape(members, others, other_positions, count * other_outputs)
        size = max(1, self.numbers // (members * positions * (count * other_outputs + other_positions)))
        for column in range(others):
            for rows in slices(self._end(column + 1) if self.symmetric else examples, size):
                seen = first.of(rows).overlap(second.of(slice(column, column + 1)))
                weighed = torch.bmm(seen, right[:, column]).view(-1, positions * count, other_outputs)
                part = self.kernel[:, rows, :, column]
                part += torch.bmm(left[:, rows].flatten(0, 1), weighed).view(part.shape)

    def _add_own(self, first: Products) -> None:
        """Of every example with itself."""
        members, examples, outputs, positions, count = first.rows.shape
        size = max(1, self.numbers // (members * positions * (positions + 2 * outputs * count)))
        for some in slices(examples, size):
            part = first.of(some)
            rows, columns = part.rows.flatten(0, 1), part.columns.flatten(0, 1)
            alone = replace(part, rows=rows.unsqueeze(1), columns=columns.unsqueeze(1))
            weighed = torch.matmul(alone.overlap(alone).unsqueeze(1), rows).mul_(rows)
            self.kernel[:, some] += weighed.sum((-1, -2)).view(members, -1, outputs)
