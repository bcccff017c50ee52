"""Multiply-adds of the ways to contract a parameter's gradients to a kernel."""

from dataclasses import dataclass

_SMALL = 6  # multiply-adds of large products take as long as one of products of matrices with few rows and columns,
_MOVED = 32  # and about as many as one number that is written and read again


@dataclass(frozen=True)
class Block:
    """A part of a kernel: rows of so many examples and outputs by columns of as many.

    Args:
        form: "full", all pairs of outputs; "trace", their mean over equal ones; "diagonal", examples with themselves.
        examples, others, outputs, other_outputs: how many.
    """

    form: str
    examples: int
    others: int
    outputs: int
    other_outputs: int

    @property
    def entries(self) -> int:
        """Pairs whose inner product is taken."""
        if self.form == "full":
            return self.examples * self.others * self.outputs * self.other_outputs
        return self.examples * self.outputs * (self.others if self.form == "trace" else 1)


def by_gradients(block: Block, positions: int, rows: int, columns: int) -> int:
    """Gradients are summed over positions, and multiplied with each other."""
    made = block.examples * block.outputs + (block.others * block.other_outputs if block.form != "diagonal" else 0)
    summed = made * positions * rows * columns if positions > 1 else 0
    return summed + block.entries * rows * columns


def by_factors(block: Block, positions: int, other_positions: int, rows: int, columns: int) -> int:
    """Inner products of inputs at all pairs of positions, and what they weigh in those of cotangents.

    What takes longer for its count than large products of matrices do counts as many of those as take as long.
    """
    pairs = block.examples * (block.others if block.form != "diagonal" else 1)
    if positions == other_positions == 1:
        return pairs * columns + block.entries * (rows + 1)
    seen = pairs * positions * other_positions * columns
    if block.form == "full":
        weighed = pairs * block.other_outputs * positions * other_positions * rows
        return seen + weighed + _SMALL * block.entries * positions * rows
    return seen + pairs * positions * other_positions * (block.outputs * rows + _MOVED)
