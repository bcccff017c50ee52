"""Modes of a quadratic, against closed forms."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.optim import SGD, Momentum
from thalweg.tuning import modes


def test_losses_against_the_closed_form_of_gradient_descent():
    found = modes({"SGD": SGD(0.5)}, [0.1, 1.0], 19)
    steps = np.arange(20)
    np.testing.assert_allclose(found["left"][0], np.stack([0.95**steps, 0.5**steps], 1), rtol=1e-12)
    np.testing.assert_allclose(found["loss"][0], (0.1 * 0.95 ** (2 * steps) + 0.5 ** (2 * steps)) / 1.1, rtol=1e-12)


def test_the_optimal_constants_give_the_predicted_contraction():
    rules = {"momentum": Momentum(4 / 1.1**2, (9 / 11) ** 2), "SGD": SGD(2 / 1.01)}
    found = modes(rules, np.logspace(-2, 0, 100), 2000)
    assert found.contraction["momentum"] == pytest.approx(9 / 11, rel=2e-3)
    assert found.contraction["SGD"] == pytest.approx(99 / 101, rel=1e-4)


def test_the_figure_shows_the_first_steps_of_every_rule():
    panels = modes({"a": SGD(0.5), "b": SGD(0.1)}, [0.1, 1.0], 30).figure(10).panels
    assert [panel.title for panel in panels] == ["a", "b"]
    assert all(panel.marks[0].z.shape == (2, 10) for panel in panels)


@pytest.mark.parametrize("eigenvalues", [[], [0.0, 1.0], [[1.0]]])
def test_what_is_no_row_of_positive_eigenvalues_is_refused(eigenvalues):
    with pytest.raises(UsageError, match="positive eigenvalues"):
        modes({"SGD": SGD(0.1)}, eigenvalues, 3)
