"""Whether two samples share examples: what chose a prior, or a network, must not be among what a bound is taken on."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation import Drawn

_AT_ONCE = 4_096


def shared(first: Drawn, second: Drawn) -> int:
    """How many examples of the second are among the first.

    Of one set by their places in it; "train" and "test" of a problem share none; all others are compared, inputs and
    targets, bit by bit.

    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.overlap import shared
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> some, few = tw.Sample("train", 1_000).draw(problem), tw.Sample("train", 100, seed=1).draw(problem)
    >>> 50 < shared(some, few) < 90, shared(some, tw.Sample("test").draw(problem))
    (True, 0)
    """
    if first.whole is second.whole:
        places = [torch.arange(len(one.whole)) if one.indices is None else one.indices.cpu() for one in (first, second)]
        return int(torch.isin(places[1], places[0]).sum())
    if isinstance(first.sample.examples, str) and isinstance(second.sample.examples, str):
        return 0
    known = set(_rows(first.examples))
    return sum(row in known for row in _rows(second.examples))


def check_apart(name: str, first: Drawn, second: Drawn, why: str) -> None:
    """Raise UsageError where two samples share examples; `why` says what follows from it.

    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.overlap import check_apart
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> check_apart("board", tw.Sample("train").draw(problem), tw.Sample("test").draw(problem), "they are no test")
    """
    count = shared(first, second)
    if count:
        msg = (
            f"{name} was given samples that share {count:,} of {len(second):,} examples, so {why}. Give samples that "
            "share none, such as data.train.select(indices[:n]) and data.train.select(indices[n:])."
        )
        raise UsageError(msg)


def _rows(examples: ExampleSet) -> Iterator[bytes]:
    for start in range(0, len(examples), _AT_ONCE):
        found = examples.slice(start, min(start + _AT_ONCE, len(examples)))
        parts = [
            np.ascontiguousarray(leaf.detach().cpu().double().reshape(len(leaf), -1).numpy())
            for leaf in tree_leaves(found)
            if isinstance(leaf, Tensor)
        ]
        yield from (row.tobytes() for row in np.concatenate(parts, 1))
