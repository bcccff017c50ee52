"""Memory stays flat however many readings are taken: of every operator, of spectra, of a Tracker."""

import gc
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.randomness import generator

DRAW = generator(0, "test leaks")
X, Y = torch.randn(12, 30, generator=DRAW), torch.randint(3, (12,), generator=DRAW)
READINGS, FEW = 1_000, 100


def model():
    """Layers whose derivatives hold their own outputs, which makes circles that no garbage collection sees."""
    return nn.Sequential(
        nn.Linear(30, 200), nn.ReLU(), nn.LayerNorm(200), nn.Linear(200, 30), nn.Tanh(), nn.Linear(30, 3)
    )


PROBLEM = tw.Problem(model, (X, Y))
POPULATION = PROBLEM.initialize(1)
VECTORS = torch.randn(POPULATION.theta.shape, generator=DRAW)
THETA = POPULATION.theta.nbytes  # 41 kB: what a leak would keep at each reading, at least


def operator(matrix):
    return lambda step: matrix(PROBLEM, POPULATION)(VECTORS)


def tracked():
    tracker = tw.curvature.Tracker(PROBLEM, max_products=4)
    return lambda step: tracker(step, POPULATION)


# How to take a reading, and how many of them.
MANY = {
    "hessian": (operator(tw.curvature.hessian), READINGS),
    "gauss_newton": (operator(tw.curvature.gauss_newton), READINGS),
    "fisher": (operator(tw.curvature.fisher), READINGS),
    "tracker": (tracked(), READINGS),
    "top_eigenvalues": (
        lambda step: tw.spectra.top_eigenvalues(tw.curvature.hessian(PROBLEM, POPULATION), 1, max_products=4),
        FEW,
    ),
    "trace": (lambda step: tw.spectra.trace(tw.curvature.gauss_newton(PROBLEM, POPULATION), products=4), FEW),
    "diagonal": (lambda step: tw.spectra.diagonal(tw.curvature.fisher(PROBLEM, POPULATION), products=4), FEW),
    "density": (lambda step: tw.spectra.density(tw.curvature.hessian(PROBLEM, POPULATION), steps=3, probes=1), FEW),
    "evaluate": (lambda step: tw.evaluate(PROBLEM, POPULATION), FEW),
    "train": (lambda step: tw.train(PROBLEM, tw.Recipe(tw.optim.SGD(0.1), 1, 4)), FEW),
    "problem": (lambda step: tw.Problem(model, (X, Y)), FEW),
}


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tensors() -> int:
    """Tensors that Python knows of."""
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", MANY)
def test_memory_is_flat(name):
    reading, times = MANY[name]
    warm = max(5, times // 20)
    for step in range(warm):
        reading(step)
    memory, alive = resident(), tensors()
    for step in range(warm, warm + times):
        reading(step)
    assert tensors() <= alive + 2
    assert resident() - memory < times * THETA / 3
