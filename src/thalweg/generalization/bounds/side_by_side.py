"""One board of networks that were trained on examples of their own, each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.generalization.bounds.posted import Board, posted
from thalweg.results import Cost


@in_words
def side_by_side(boards: Sequence[Board]) -> Board:
    """Several boards as one, the networks of all of them in a row: of networks that saw examples of their own.

    >>> import thalweg as tw
    >>> boards = []
    >>> for seed in (0, 1):
    ...     problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().split_anew(500, seed=seed))
    ...     run = tw.train(problem, tw.Recipe(tw.optim.Adam(0.01), steps=20, batch_size=100), seeds=[seed])
    ...     boards.append(tw.generalization.bounds.board(problem, run.final))
    >>> tw.generalization.bounds.side_by_side(boards)["training error"].shape
    (2,)

    Args:
        boards: of the same families in the same order, on as many examples.

    Raises:
        UsageError: no boards, or boards that differ in families, examples, confidence or classes.
    """
    if not boards:
        msg = "side_by_side takes at least one board; got none."
        raise UsageError(msg)
    first = boards[0]
    kind = _kind(first)
    for other in boards[1:]:
        if _kind(other) != kind:
            msg = f"side_by_side takes boards of the same families on as many examples; got {kind} and {_kind(other)}."
            raise UsageError(msg)
    rows = [
        replace(
            row, bound=np.concatenate([one.bound for one in each]), error=np.concatenate([one.error for one in each])
        )
        for row, *_ in zip(*(board.rows for board in boards), strict=True)
        if (each := [board.row(row.family) for board in boards])
    ]
    arrays = [board.reading.arrays for board in boards]
    seen = np.concatenate([one["training error"] for one in arrays])
    unseen = np.concatenate([one["held-out error"] for one in arrays]) if "held-out error" in arrays[0] else None
    own = ("Each board is of examples of its own.",) if len(boards) > 1 else ()
    seconds = sum(board.reading.cost.seconds for board in boards if board.reading.cost is not None)
    notes = (*first.reading.notes, *own)
    return posted(tuple(rows), first.classes, seen, unseen, Cost(seconds), first.reading.provenance, notes)


def _kind(board: Board) -> tuple[object, ...]:
    """What boards must have in common."""
    families = tuple((row.family, row.examples, row.confidence) for row in board.rows)
    return (board.classes, "held-out error" in board.reading.arrays, families)
