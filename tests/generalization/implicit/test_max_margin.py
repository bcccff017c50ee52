"""Logistic descent against separators that are known, and a solver of another kind."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from thalweg.errors import UsageError
from thalweg.generalization import implicit


def _separable(seed: int, n: int = 30, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = np.where(draw.random(n) < 0.5, -1.0, 1.0)
    return draw.normal(size=(n, d)) + 2 * y[:, None] * np.eye(d)[0], y


def test_the_separator_is_feasible_and_no_shorter_one_is() -> None:
    """The conditions of Karush, Kuhn and Tucker: w is a nonnegative combination of the rows whose margin is 1."""
    for seed in range(5):
        x, y = _separable(seed, n=12, d=20)  # more features than examples: always separable
        z = x * y[:, None]
        w = implicit.hard_margin(z)
        margins = z @ w
        assert margins.min() > 1 - 1e-9
        held = margins < 1 + 1e-7
        weights, *_ = np.linalg.lstsq(z[held].T, w, rcond=None)
        np.testing.assert_allclose(z[held].T @ weights, w, atol=1e-9)
        assert (weights > -1e-9).all()
        np.testing.assert_allclose(implicit.hard_margin(1e3 * z), w / 1e3, rtol=1e-7, atol=1e-12)


def test_it_is_the_separator_of_a_support_vector_machine() -> None:
    x, y = _separable(3)
    x[:, 0] += y  # well apart
    w = implicit.hard_margin(x * y[:, None])
    other = LinearSVC(C=1e4, loss="hinge", fit_intercept=False, tol=1e-8, max_iter=200_000).fit(x, y).coef_[0]
    np.testing.assert_allclose(w, other, rtol=1e-3, atol=1e-3)


def test_logistic_descent_turns_to_the_largest_margin_and_grows_as_the_logarithm() -> None:
    draws = [_separable(seed, n=10, d=15) for seed in range(3)]
    x, y = (np.stack(part) for part in zip(*draws, strict=True))
    found = implicit.max_margin(x, y, steps=20_000)
    angle = found["angle"]
    assert (angle[-1] < 0.35 * angle[0]).all()
    assert (found["margin"][-1] > 0.9).all()
    assert (found["margin"] < 1 + 1e-12).all()
    np.testing.assert_allclose(found["growth"], found["norm of the separator"], rtol=0.1)
    assert (np.diff(found["norm"], axis=0) > 0).all()
    # A direction that is not that of largest margin: the mean of the classes.
    means = (x * y[..., None]).mean(1)
    cosines = (means * found["separator"]).sum(1) / np.linalg.norm(means, axis=1) / found["norm of the separator"]
    assert (np.arccos(cosines) > angle[-1]).all()
    found.figure()


def test_its_first_step_is_by_hand() -> None:
    found = implicit.max_margin([[2.0, 0.0], [0.0, -1.0]], [1, -1], steps=100, at=[0, 1])
    w = 4 / 4 * np.array([2.0, 1.0]) / 2
    np.testing.assert_allclose(found["norm"][:, 0], [0.0, float(np.linalg.norm(w))])
    np.testing.assert_allclose(found["separator"][0], [0.5, 1.0])
    expected = np.arccos(w @ [0.5, 1.0] / np.linalg.norm(w) / np.linalg.norm([0.5, 1.0]))
    np.testing.assert_allclose(found["angle"][1, 0], expected)
    assert np.isnan(found["angle"][0, 0])


@pytest.mark.parametrize(
    ("x", "y", "more", "sentence"),
    [
        ([[1.0], [1.0]], [1, -1], {}, "No direction separates"),
        ([[1.0], [0.0]], [1, -1], {}, "No direction separates"),
        ([[1.0]], [0], {}, "classes -1 and 1"),
        ([[1.0]], [1], {"steps": 10}, "at least 100"),
        ([[1.0]], [1], {"steps": 100, "at": [101]}, "from 0 to 100"),
    ],
)
def test_what_cannot_be_meant_is_refused(x, y, more, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        implicit.max_margin(x, y, **more)


def test_a_thin_margin_is_exact_or_refused() -> None:
    """Of nonnegative least squares alone the first two have margins of 0.9 and of 1.00002, and the last may not end."""
    for far in (1e8, 1e6):
        assert implicit.hard_margin([[far, 1.0], [-far, 1.0]]) == pytest.approx([0, 1], abs=1e-9)
    with pytest.raises(UsageError, match="none by more than a billionth"):
        implicit.hard_margin([[1e10, 1.0], [-1e10, 1.0]])
    draw = np.random.default_rng(1)
    w, x = draw.normal(size=20), draw.normal(size=(300, 20))
    signed = x * np.sign(x @ w)[:, None]
    with pytest.raises(UsageError, match=r"of one scale|scale them alike"):
        implicit.hard_margin(signed * 10.0 ** draw.uniform(-6, 6, (300, 1)))
