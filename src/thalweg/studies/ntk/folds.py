"""The folds of NTK7, independent of one another: each has examples of its own, and an order of pixels of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg import data, ntk
from thalweg.data import Examples
from thalweg.ntk import Infinite
from thalweg.randomness import generator
from thalweg.studies.ntk.setting import share_of

RIDGE, CLASSES, FOLDS = 1e-4, 10, 12
ORDERS = ORDERED, SHUFFLED, UNLIKE = "in order", "shuffled", "shuffled in the test set alone"


@dataclass(frozen=True)
class Folds:
    """Examples of one data set, dealt into folds that share none.

    Args:
        name: of the data.
        inputs: (examples, *shape).
        labels: their classes.
        window: of convolutions, in pixels along every axis.
        train, test: every fold's examples, by index: (folds, n), (folds, k).
        orders: every fold's order of pixels: (folds, pixels).
    """

    name: str
    inputs: Float[Tensor, "examples *shape"]
    labels: Int64[Tensor, " examples"]
    window: int
    train: Int64[Tensor, "folds n"]
    test: Int64[Tensor, "folds k"]
    orders: Int64[Tensor, "folds pixels"]

    def accuracies(self, kernel: Infinite, pixels: str) -> NDArray[np.float64]:
        """With pixels in order, shuffled, or shuffled in the test set alone, this of every third fold: (folds,)."""
        found = np.full(len(self.train), np.nan)
        for fold in range(0, len(found), 3 if pixels == UNLIKE else 1):
            train, test, order = self.train[fold], self.test[fold], self.orders[fold]
            fitted, held = self.inputs[train], self.inputs[test]
            fitted = shuffle(fitted, order) if pixels == SHUFFLED else fitted
            held = held if pixels == ORDERED else shuffle(held, order)
            first, cross = kernel.ntk(fitted[:, None]), kernel.ntk(held[:, None], fitted[:, None])
            labels = self.labels[train], self.labels[test]
            ridge = share_of(first, RIDGE)
            found[fold] = ntk.classify(first, cross, *labels, ridge=ridge, classes=CLASSES)["accuracy"][0]
        return found


def shuffle(inputs: Float[Tensor, "n *shape"], order: Int64[Tensor, " pixels"]) -> Float[Tensor, "n *shape"]:
    """The pixels of every input in another order."""
    return inputs.flatten(1)[:, order].reshape(inputs.shape)


def dealt(
    name: str, inputs: Tensor, labels: Tensor, window: int, seed: int, folds: int, sizes: tuple[int, int]
) -> Folds:
    """Folds of so many training and test examples, and an order of pixels for each, from one seed."""
    rows = torch.randperm(len(inputs), generator=generator(seed, f"ntk folds of {name}"))[: folds * sum(sizes)]
    train, test = rows.reshape(folds, -1).split(list(sizes), 1)
    pixels = inputs[0].numel()
    orders = torch.stack([torch.randperm(pixels, generator=generator(seed, "ntk pixels", one)) for one in range(folds)])
    return Folds(name, inputs, labels, window, train, test, orders)


def digits(seed: int, *, apart: bool = False) -> Folds:
    """All that folds of 50 and 99 need, of norm 8, less one mean; or `apart`, every pixel less its own.

    One mean leaves the same stroke the same wherever it is, which is what a convolution with pooling knows.
    """
    read = data.digits()
    (first, early), (second, late) = _tensors(read.train), _tensors(read.test)
    pixels, labels = torch.cat([first, second]).double(), torch.cat([early, late])
    centered = pixels - (pixels.mean(0) if apart else pixels.mean())
    inputs = (8 * centered / centered.norm(dim=1, keepdim=True)).float()
    return dealt("digits", inputs.reshape(-1, 8, 8), labels, 3, seed, FOLDS, (50, 99))


def signals(seed: int, folds: int, size: int) -> Folds:
    """Of MNIST-1D, every position centered, at one scale."""
    inputs, labels = _tensors(data.mnist1d().train)
    inputs = inputs.flatten(1)
    return dealt("MNIST-1D", (inputs - inputs.mean(0)) / inputs.std(), labels, 5, seed, folds, (size, size))


def _tensors(examples: object) -> tuple[Tensor, Tensor]:
    assert isinstance(examples, Examples)
    assert isinstance(examples.inputs, Tensor)
    assert isinstance(examples.targets, Tensor)
    return examples.inputs, examples.targets
