"""Limit points against the closed form, and against rules and data for which they must be others."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.generalization import implicit

EXACT = ["gradient descent", "momentum", "SGD"]


def _draw(problems: int, n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(problems, n, d))
    return x, np.einsum("pnd,pd->pn", x, draw.normal(size=(problems, d)))


def test_descent_ends_at_the_projection_of_its_start_and_others_do_not() -> None:
    x, y = _draw(3, 20, 60)
    found = implicit.limit_points(x, y)
    assert found.converged.all()
    assert len(found.remarks()) == 1
    assert (found["distance to the projection"][:3] < 1e-8).all()
    assert (found["distance to the minimum norm"][:3] < 1e-8).all()
    assert (found["distance to the minimum norm"][3:] > 0.3).all()
    assert (found["norm"][3:] > 1.05).all()
    for problem in range(3):
        least, *_ = np.linalg.lstsq(x[problem], y[problem], rcond=None)
        np.testing.assert_allclose(found["minimum norm"][problem], least, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found["limit"][0, problem], least, atol=1e-8)
    found.figure()


def test_the_distance_to_the_minimum_norm_is_what_of_the_start_no_example_sees() -> None:
    x, y = _draw(2, 5, 15)
    start = np.random.default_rng(1).normal(size=(2, 15))
    distances = []
    for scale in (0.01, 1.0, 100.0):
        found = implicit.limit_points(x, y, scale * start, rules=EXACT)
        assert (found["distance to the projection"] < 1e-8 * max(scale, 1)).all()
        distances.append(found["distance to the minimum norm"])
        for problem in range(2):
            unseen = scale * (start[problem] - np.linalg.pinv(x[problem]) @ x[problem] @ start[problem])
            expected = np.linalg.norm(unseen) / np.linalg.norm(found["minimum norm"][problem])
            np.testing.assert_allclose(found["distance to the minimum norm"][:, problem], expected, rtol=1e-6)
    slopes = np.log10(distances[2] / distances[0]) / 4
    np.testing.assert_allclose(slopes, 1, atol=1e-6)


def test_with_more_examples_than_features_all_rules_agree() -> None:
    found = implicit.limit_points(*_draw(2, 30, 8), steps=10_000)
    assert found.converged.all()
    assert (found["distance to the minimum norm"] < 1e-8).all()


def test_adam_with_a_large_epsilon_is_descent_with_momentum() -> None:
    x, y = _draw(1, 10, 30)
    rate = float(0.5e6 / np.linalg.norm(x[0], ord=2) ** 2)
    found = implicit.limit_points(x, y, rules=["Adam"], rate=rate, epsilon=1e6)
    assert found.converged.all()
    assert (found["distance to the minimum norm"] < 1e-5).all()


def test_rotating_the_coordinates_moves_the_limit_of_adam_alone() -> None:
    x, y = _draw(1, 10, 30)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(30, 30)))[0]
    rules = ["gradient descent", "Adam"]
    plain, turned = (implicit.limit_points(one, y, rules=rules)["limit"][:, 0] for one in (x, x @ turn))
    back = turned @ turn.T
    np.testing.assert_allclose(back[0], plain[0], atol=1e-8)
    assert np.linalg.norm(back[1] - plain[1]) > 0.1 * np.linalg.norm(plain[0])


def test_a_rule_that_has_not_arrived_says_so() -> None:
    found = implicit.limit_points(*_draw(2, 20, 30), rules=["gradient descent"], steps=20)
    assert not found.converged.any()
    assert "gradient descent did not reach a relative loss of 1e-20 on 2 of 2 problems." in found.remarks()


@pytest.mark.parametrize(
    ("x", "y", "more", "sentence"),
    [
        ([[1.0, 2.0]], [1.0, 2.0], {}, "got \\(1, 2\\) and \\(2,\\)"),
        ([[1.0, 2.0]], [0.0], {}, "which is 0"),
        ([[1.0, np.nan]], [1.0], {}, "finite"),
        ([[1.0, 2.0]], [1.0], {"start": [1.0]}, "start is"),
        ([[1.0, 2.0]], [1.0], {"rules": ["Adamm"]}, "got 'Adamm'"),
        ([[1.0, 2.0]], [1.0], {"rules": "Adam"}, "a list of different names"),
        ([[1.0, 2.0]], [1.0], {"rate": 0.0}, "rate above 0"),
        ([[1.0, 2.0], [0.0, 0.0]], [1.0, 0.0], {"rules": ["SGD"]}, "rows of zeros"),
    ],
)
def test_what_cannot_be_meant_is_refused(x, y, more, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        implicit.limit_points(x, y, **more)
