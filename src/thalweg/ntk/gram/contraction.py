"""Gram matrices of gradients, added to a kernel block by block."""

from collections.abc import Iterator

import torch
from torch import Tensor

from thalweg.ntk.gram.counting import Block, by_factors, by_gradients
from thalweg.ntk.gram.terms import Products

_ROWS = 512  # of a block of a symmetric matrix, of which the half is computed
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
        elif first.shifted or first.tokens or factors < by_gradients(block, positions, count, first.width):
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
            seen = first.columns.new_ones(()) if first.tokens else first.columns.square().sum(-1) + first.shifted
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
        members, examples, _, positions, count = first.rows.shape
        each = members * examples * positions * max(second.rows.shape[2] * count * 2, second.positions * 3)
        size = max(1, self.numbers // each)
        for start in range(0, second.rows.shape[1], size):
            columns = slice(start, min(start + size, second.rows.shape[1]))
            rows = slice(0, self._end(columns.stop) if self.symmetric else examples)
            left, right = first.of(rows), second.of(columns)
            seen = left.overlap(right)
            if self.form == "full":
                self._weigh(left, right, seen, self.kernel[:, rows, :, columns])
            else:
                flat = [one.rows.transpose(2, 3).flatten(3).flatten(1, 2) for one in (left, right)]
                changes = torch.bmm(flat[0], flat[1].mT).mul_(seen)
                shape = members, rows.stop, positions, columns.stop - start, second.positions
                self.kernel[:, rows, columns].add_(changes.view(shape).sum((2, 4)), alpha=self.share)

    def _weigh(self, left: Products, right: Products, seen: Tensor, part: Tensor) -> None:
        members, examples, outputs, positions, count = left.rows.shape
        others, other_outputs, others_positions = right.rows.shape[1:4]
        seen = seen.view(members, examples * positions, others, others_positions).transpose(1, 2)
        columns = right.rows.transpose(2, 3).reshape(members * others, others_positions, other_outputs * count)
        weighed = torch.bmm(seen.reshape(members * others, examples * positions, others_positions), columns)
        weighed = weighed.view(members, others, examples, positions, other_outputs, count).permute(0, 2, 3, 5, 1, 4)
        weighed = weighed.reshape(members * examples, positions * count, others * other_outputs)
        made = torch.bmm(left.rows.reshape(members * examples, outputs, positions * count), weighed)
        part += made.view(part.shape)

    def _add_own(self, first: Products) -> None:
        """Of every example with itself."""
        for member in range(first.rows.shape[0]):
            for example in range(first.rows.shape[1]):
                one = Products(
                    first.rows[member, example][None, None],
                    first.columns[member, example][None, None],
                    first.tokens,
                    first.shifted,
                )
                weighed = one.overlap(one) @ one.rows[0, 0]
                self.kernel[member, example] += (weighed * one.rows[0, 0]).sum((-1, -2))
