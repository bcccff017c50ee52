"""Least squares against independent solvers; no hidden ridge; the measured rank."""

import numpy as np
import pytest
import scipy.linalg

from thalweg.errors import DataError, UsageError
from thalweg.generalization.double_descent import FourierFeatures, effective_parameters, least_squares

SHAPES = [(30, 10), (30, 30), (30, 45), (30, 200)]  # the last by its Gram matrix


def problem(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(n + p)
    return draw.standard_normal((n, p)), draw.standard_normal((n, 2, 3))


@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_the_minimum_norm_solution_is_that_of_lapack(n: int, p: int) -> None:
    x, y = problem(n, p)
    fit = least_squares(x, y)
    expected = scipy.linalg.lstsq(x, y.reshape(n, -1), lapack_driver="gelsd")[0].reshape(p, 2, 3)
    np.testing.assert_allclose(fit.coefficients, expected, atol=1e-9 * fit.condition)
    np.testing.assert_allclose(fit.norms, np.sqrt((expected**2).sum(0)), rtol=1e-9 * fit.condition)
    np.testing.assert_allclose(
        fit.train_errors, ((x @ expected.reshape(p, -1) - y.reshape(n, -1)) ** 2).mean(0).reshape(2, 3), atol=1e-15
    )
    assert fit.rank == min(n, p) == np.linalg.matrix_rank(x)
    assert fit.condition == pytest.approx(np.linalg.cond(x))
    new = np.random.default_rng(1).standard_normal((7, p))
    np.testing.assert_allclose(fit.predict(new), np.tensordot(new, expected, 1), atol=1e-8)
    np.testing.assert_allclose(np.tensordot(fit.smoother(new), y, 1), fit.predict(new), atol=1e-8)


@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_ridge_at_every_penalty_is_the_solution_of_its_normal_equations(n: int, p: int) -> None:
    x, y = problem(n, p)
    fit, penalties = least_squares(x, y[:, 0]), [0.1, 3.0]
    new = np.random.default_rng(1).standard_normal((7, p))
    for place, penalty in enumerate(penalties):
        exact = np.linalg.solve(x.T @ x + penalty * np.eye(p), x.T @ y[:, 0])
        np.testing.assert_allclose(fit.ridge_coefficients(penalties)[place], exact, atol=1e-10)
        np.testing.assert_allclose(fit.ridge_norms(penalties)[place], np.linalg.norm(exact, axis=0), rtol=1e-9)
        np.testing.assert_allclose(fit.ridge_predict(new, penalties)[place], new @ exact, atol=1e-9)
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(p), x.T)
        assert fit.degrees_of_freedom(penalties)[place] == pytest.approx(np.trace(hat))
        np.testing.assert_allclose(fit.smoother(x, penalty), hat, atol=1e-10)


def test_there_is_no_hidden_ridge() -> None:
    """The norm is that of the smallest singular value; a ridge of 1e-8, as many codes hide it, caps it."""
    draw = np.random.default_rng(0)
    left, right = (np.linalg.qr(draw.standard_normal((20, 20)))[0] for _ in range(2))
    singular = np.r_[np.ones(19), 1e-6]
    fit = least_squares(left * singular @ right, left[:, 19])
    assert fit.rank == 20
    assert fit.norms == pytest.approx(1e6, rel=1e-6)
    capped = np.linalg.norm(
        np.linalg.solve(right.T * singular**2 @ right + 1e-8 * np.eye(20), right.T * singular @ left.T @ left[:, 19])
    )
    assert capped < 200


def test_the_rank_is_measured() -> None:
    x, y = problem(30, 10)
    twice = least_squares(np.hstack([x, x]), y)
    assert (twice.rank, twice.features) == (10, 20)
    wide = least_squares(np.repeat(x.T[:5], 8, axis=1)[:, :90], y[:5])
    assert wide.rank == 5
    assert len(wide.all_singular) == 5
    low = np.outer(np.arange(1.0, 31), np.ones(80))  # its Gram matrix is singular: the decomposition itself decides
    assert least_squares(low, y).rank == 1


def test_effective_parameters_are_the_trace_on_train_and_fall_beyond_the_threshold() -> None:
    draw = np.random.default_rng(0)
    x, new = draw.standard_normal((40, 5)), draw.standard_normal((500, 5))
    found = {}
    for number in (10, 40, 400):
        features = FourierFeatures(5, number, 1.0, 0)
        fit = least_squares(features(x), np.zeros(40))
        assert effective_parameters(fit, features(x)) == pytest.approx(min(number, 40), rel=1e-6)
        found[number] = effective_parameters(fit, features(new))
        by_hand = 40 * (fit.smoother(features(new)) ** 2).sum(1).mean()
        assert found[number] == pytest.approx(by_hand)
    assert found[10] < found[40] > found[400]


def test_bad_input_is_said() -> None:
    with pytest.raises(UsageError, match=r"features \(examples, features\) and targets \(examples, ...\)"):
        least_squares(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(DataError, match="not finite"):
        least_squares(np.full((3, 2), np.inf), np.zeros(3))
    fit = least_squares(np.eye(3), np.zeros(3))
    with pytest.raises(UsageError, match="penalties are finite numbers of at least 0"):
        fit.ridge_norms([-1.0])
    with pytest.raises(UsageError, match=r"has 3 features, so it takes \(points, 3\)"):
        fit.predict(np.zeros((2, 4)))


def test_features_that_are_all_zero_fit_nothing() -> None:
    fit = least_squares(np.zeros((4, 3)), np.ones((4, 2, 5)))
    assert fit.rank == 0
    assert (fit.predict(np.ones((6, 3))) == 0).all()
    assert fit.predict(np.ones((6, 3))).shape == (6, 2, 5)
    assert (fit.ridge_predict(np.ones((6, 3)), [0.0, 1.0]) == 0).all()
