"""Which examples tell whether a loss weighs them: some at random, and one of every class."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.data import Examples, ExampleSet
from thalweg.data.trees import named
from thalweg.randomness import generator

_RANDOM, _STREAMED = 64, 32  # rows drawn at random, and of those that must be read one by one
_SEARCHED = 2**18  # targets that classes are looked for in, at most


def telling_rows(examples: ExampleSet, most: int) -> Int64[Tensor, " rows"]:
    """Rows drawn at random from the whole set, with such of targets held in memory as are unlike the others.

    Those are one of every value of integer targets, and the rows of the least and the greatest value of all (as where a
    target is ignored, or a length is short), of floating ones the rows that sum to the least and to the most.

    Args:
        examples: what to choose from.
        most: rows at most.

    Returns:
        Their numbers, each once, in a random order.

    Cost: a sort of the integer targets, of a quarter of a million at most, and a look at each target.
    """
    stream = generator(0, "telling rows")
    order = torch.randperm(len(examples), generator=stream)
    chosen = [order[: _RANDOM if isinstance(examples, Examples) else _STREAMED]]
    extreme = torch.empty(0, dtype=torch.long)
    if isinstance(examples, Examples):
        leaves = [leaf for _, leaf in named(examples.targets, "targets") if leaf.numel() and not leaf.is_complex()]
        extreme = torch.cat([extreme, *map(_extremes, leaves)]).unique()
        for leaf in leaves:
            if leaf.is_floating_point():
                continue
            positions = max(1, leaf[0].numel())
            searched = order[: max(1, _SEARCHED // positions)]
            values = leaf.index_select(0, searched.to(leaf.device)).reshape(-1).cpu().numpy()
            first = np.unique(values, return_index=True)[1]
            chosen.append(searched[torch.as_tensor(first) // positions])
    rows = torch.cat(chosen).unique()
    rows = rows[~torch.isin(rows, extreme)]
    few = torch.cat([extreme, rows[torch.randperm(len(rows), generator=stream)]])[:most]
    return few[torch.randperm(len(few), generator=stream)]


def _extremes(leaf: Tensor) -> Tensor:
    """The rows of the least and of the greatest value, or where they are floating, sum: (2,)."""
    table = leaf.reshape(len(leaf), -1)
    if table.is_floating_point():
        sums = table.sum(1)
        return torch.stack([sums.argmin(), sums.argmax()]).cpu()
    values = table.to(torch.uint8) if table.dtype == torch.bool else table
    return torch.stack([values.argmin(), values.argmax()]).cpu() // values.shape[1]
