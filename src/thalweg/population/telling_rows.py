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
    """Rows drawn at random from the whole set, with one of every value of integer targets that are held in memory.

    Args:
        examples: what to choose from.
        most: rows at most.

    Returns:
        Their numbers, each once, in a random order.

    Cost: a sort of the integer targets, of a quarter of a million at most.
    """
    stream = generator(0, "telling rows")
    order = torch.randperm(len(examples), generator=stream)
    chosen = [order[: _RANDOM if isinstance(examples, Examples) else _STREAMED]]
    if isinstance(examples, Examples):
        for _, leaf in named(examples.targets, "targets"):
            if leaf.is_floating_point() or leaf.is_complex():
                continue
            positions = max(1, leaf[0].numel())
            searched = order[: max(1, _SEARCHED // positions)]
            values = leaf.index_select(0, searched.to(leaf.device)).reshape(-1).cpu().numpy()
            first = np.unique(values, return_index=True)[1]
            chosen.append(searched[torch.as_tensor(first) // positions])
    rows = torch.cat(chosen).unique()
    return rows[torch.randperm(len(rows), generator=stream)[:most]]
