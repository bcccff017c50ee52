"""The table of addition as kernels see it: what is right on held-out cells of kernels of fully connected nets."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from thalweg import data, ntk
from thalweg.data import Examples
from thalweg.statistics import Interval
from thalweg.studies.ntk.setting import BIAS_STD, WEIGHT_STD, share_of

Array = NDArray[np.float64]
P, RIDGES = 59, (1e-6, 1e-2, 1.0)


@dataclass(frozen=True, eq=False)
class Split:
    """Cells a * p + b of the table that are trained on, and all others: (n,), (k,)."""

    train: Int64[Tensor, " n"]
    test: Int64[Tensor, " k"]

    @classmethod
    def of(cls, seed: int, fraction: float, p: int = P) -> "Split":
        """That of `data.modular`, which trained nets have too."""
        whole = data.modular(p, train_fraction=fraction, seed=seed, encoding="tokens")
        cells = []
        for part in (whole.train, whole.test):
            assert isinstance(part, Examples)
            assert isinstance(part.inputs, Tensor)
            cells.append(part.inputs[:, 0] * p + part.inputs[:, 1])
        return cls(*cells)


@dataclass(frozen=True, eq=False)
class Best:
    """The kernel and ridge that are right most often on the test cells themselves.

    Args:
        name: of both.
        right: on every test cell: (k,).
        tried: how many were compared.
    """

    name: str
    right: Bool[np.ndarray, " k"]
    tried: int


def sums(p: int = P) -> Int64[Tensor, " cells"]:
    """a + b of every cell, not modulo p."""
    a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    return a + b


def of_nets(depths: tuple[int, ...], p: int = P) -> dict[str, Float[Tensor, "cells cells"]]:
    """Both kernels of ReLU nets of these depths, between all one-hot pairs, by their names.

    Such a kernel knows of two pairs alone how many of their symbols, first with first, second with second, agree.
    """
    first, second = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    agree = (first[:, None] == first).long() + (second[:, None] == second).long()
    pairs = torch.zeros(3, 2 * p)  # of which none, one and both symbols agree with those of the last
    pairs[[0, 0, 1, 1, 2, 2], [1, p + 1, 0, p + 1, 0, p]] = 1
    found = {}
    limit = ntk.over_depth(pairs, weight_std=WEIGHT_STD["relu"], bias_std=BIAS_STD, depths=depths)
    for depth, nngp, tangent in zip(depths, limit.nngp, limit.ntk, strict=True):
        found |= {f"NNGP, depth {depth}": nngp[2][agree], f"NTK, depth {depth}": tangent[2][agree]}
    return found


def of_frequencies(p: int = P) -> dict[str, Float[Tensor, "cells cells"]]:
    """The kernel of the features that trained nets find: cosine and sine of 2 pi w (a + b) / p, for every w."""
    angles = 2 * torch.pi * sums(p).double()[:, None] * torch.arange(1, (p + 1) // 2) / p
    features = torch.cat([angles.cos(), angles.sin()], 1)
    return {"Fourier features": features @ features.T}


def best(kernels: Mapping[str, Tensor], split: Split, p: int = P) -> Best:
    """Answers by the largest of p outputs."""
    answers, (train, cross) = sums(p) % p, _blocks(kernels, split)
    targets, tested, found = ntk.one_hot(answers[split.train], p), answers[split.test].numpy(), {}
    for ridge in RIDGES:
        outputs = ntk.regression(train, cross, targets, ridge=share_of(train, ridge))["test"]
        for name, one in zip(kernels, outputs.argmax(-1) == tested, strict=True):
            found[f"{name}, ridge {ridge:g}"] = one
    name = max(found, key=lambda each: found[each].mean())
    return Best(name, found[name], len(found))


def explained(kernels: Mapping[str, Tensor], split: Split, p: int = P) -> float:
    """The share of the variance of a + b, as a whole number, that the best of them explains on test cells."""
    whole, (train, cross) = sums(p).double(), _blocks(kernels, split)
    middle = whole[split.train].mean()
    targets, tested = (whole[split.train] - middle)[:, None], (whole[split.test] - middle).numpy()
    outputs = ntk.regression(train, cross, targets, ridge=share_of(train, RIDGES[0]))["test"][..., 0]
    return float((1 - ((outputs - tested) ** 2).mean(-1) / tested.var()).max())


def pooled(right: list[NDArray[np.bool_]]) -> Interval:
    """The share that is right of all test cells of all seeds, each counted as one case: Wilson's interval."""
    cells = np.concatenate(right)
    ends = binomtest(int(cells.sum()), len(cells)).proportion_ci(method="wilson")
    return Interval(float(cells.mean()), ends.low, ends.high, len(cells), "Wilson's, of cells")


def _blocks(kernels: Mapping[str, Tensor], split: Split) -> tuple[Tensor, Tensor]:
    """Of training cells, and of test with training cells: (kernels, n, n), (kernels, k, n)."""
    rows = [[one[part] for one in kernels.values()] for part in (split.train, split.test)]
    train, cross = (torch.stack([one[:, split.train] for one in part]) for part in rows)
    return train, cross
