"""Digits parted otherwise than in training and test set: a few to train on, all others to test on."""

import torch

from thalweg.data import Data, Examples, digits
from thalweg.randomness import generator


def few_and_others(count: int, seed: int, purpose: str) -> Data:
    """So many digits of all, by the stream (seed, purpose), and the others."""
    data = digits()
    whole = [part for part in (data.train, data.test) if isinstance(part, Examples)]
    inputs = torch.cat([torch.as_tensor(part.inputs) for part in whole])
    targets = torch.cat([torch.as_tensor(part.targets) for part in whole])
    order = torch.randperm(len(inputs), generator=generator(seed, purpose))
    few, others = (Examples(inputs[rows], targets[rows]) for rows in order.tensor_split([count]))
    return Data(few, others, data.name, data.classes)
