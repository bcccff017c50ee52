"""Some of many examples, at random."""

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.randomness import generator


def sampled(whole: int, count: int, seed: int, purpose: str = "surface examples") -> Int64[Tensor, " count"]:
    """So many different examples of the whole, in ascending order, by the stream (seed, purpose)."""
    return torch.randperm(whole, generator=generator(seed, purpose))[:count].sort().values
