"""Operators whose spectra are known, without any network."""

import numpy as np
import torch
from torch import Tensor

from thalweg.randomness import generator
from thalweg.spectra import Operator, from_matrix

SPECTRA = {
    "separate": np.linspace(-3, 10, 40),
    "indefinite": np.array([-9.0, *np.linspace(-1, 1, 30), 5.0]),
    "rank deficient": np.array([0.0] * 25 + [1.0, 2.0, 7.0]),
    "repeated": np.array([1.0] * 10 + [4.0] * 3 + [6.0]),
    "identity": np.ones(12),
    "zero": np.zeros(9),
}


def matrix_of(spectrum: np.ndarray, seed: int = 0) -> Tensor:
    """A dense symmetric matrix with this spectrum."""
    size = len(spectrum)
    turn = torch.linalg.qr(torch.randn(size, size, generator=generator(seed, "turn"), dtype=torch.float64))[0]
    return turn @ torch.diag(torch.tensor(spectrum)) @ turn.T


def operator_of(spectrum: np.ndarray, members: int = 1) -> Operator:
    """The operator of a dense matrix with this spectrum, the same for every member."""
    return from_matrix(matrix_of(spectrum).expand(members, -1, -1))


def members_of(size: int = 43, members: int = 3) -> Tensor:
    """Different symmetric matrices (members, size, size), whose eigenvalues fall as those of networks do."""
    spectrum = 3.0 / np.arange(1, size + 1) ** 1.5
    return torch.stack([matrix_of(spectrum * (1 + 0.3 * seed), seed) for seed in range(members)])


def with_nan(matrices: Tensor, member: int = 1) -> Tensor:
    """The same where one member is not finite."""
    broken = matrices.clone()
    broken[member, 2, 3] = broken[member, 3, 2] = torch.nan
    return broken
