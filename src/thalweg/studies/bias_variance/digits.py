"""Digits dealt out to judges: disjoint training sets with wrong labels, and all others to test on."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from thalweg import data
from thalweg.data.trees import Tree
from thalweg.generalization.dealt import own_sets
from thalweg.generalization.double_descent import FourierFeatures, least_squares
from thalweg.population.threads import one_thread

Array = NDArray[np.float64]
SCALE = 0.65  # standard deviation of the frequencies of random features


@dataclass(frozen=True)
class Dealt:
    """Disjoint training sets, and the held-out digits with their right labels.

    Args:
        inputs, labels: (sets, size, 64), and for each level of noise (levels, sets, size).
        test_inputs, test_labels: (held out, 64), (held out,).
    """

    inputs: Array
    labels: NDArray[np.int64]
    test_inputs: Array
    test_labels: NDArray[np.int64]

    @property
    def targets(self) -> Array:
        """The test labels one-hot: (held out, 10)."""
        return np.eye(10)[self.test_labels]


def dealt(sets: int, size: int, noise: tuple[float, ...], seed: int) -> Dealt:
    """Digits in a random order, of which the first are the training sets.

    Of each set exactly the share of its level of noise is given wrong labels; at a larger level the same and further
    ones. Repetitions deal out one pool of 1,797 digits anew, so that they are no independent samples of all digits.
    """
    own = [seed * sets + one for one in range(sets)]
    levels = [own_sets(data.digits(), size, level, own) for level in noise]
    (clean, held, _), labels = levels[0], [[_array(one.targets) for one in found] for found, _, _ in levels]
    inputs = np.stack([_array(one.inputs) for one in clean])
    return Dealt(inputs.astype(float), np.array(labels), _array(held.inputs).astype(float), _array(held.targets))


def _array(values: Tree) -> NDArray:
    return torch.as_tensor(values).numpy()


def feature_fits(found: Dealt, number: int, occasions: int, penalty: float, seed: int) -> Array:
    """Ridge on random features, drawn anew by every judge on every occasion: (judges, occasions, held out, 10).

    Of the first level of noise. A penalty of 0 is the minimum norm.
    """
    judges = len(found.inputs)
    fits = np.empty((judges, occasions, len(found.test_inputs), 10))
    # So small that a second thread is waited for longer than it computes, whether torch's or NumPy's.
    with one_thread(), threadpool_limits(1, user_api="blas"):
        for judge, occasion in np.ndindex(judges, occasions):
            own = (seed * judges + judge) * occasions + occasion
            features = FourierFeatures(64, number, SCALE, own)
            fit = least_squares(features(found.inputs[judge]), np.eye(10)[found.labels[0, judge]])
            (fits[judge, occasion],) = fit.ridge_predict(features(found.test_inputs), [penalty])
    return fits
