"""Data with known dimensions, and a linear network whose modes have known times."""

import numpy as np
import pytest

import thalweg as tw
from thalweg.generalization import simplicity


def draws(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("neighbors", [2, 10])
def test_spheres_and_planes_have_their_dimension(neighbors: int) -> None:
    sphere = draws(3_000, 3)
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    angles = np.random.default_rng(1).random((3_000, 2)) * 2 * np.pi
    torus = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    turned = np.linalg.qr(draws(9, 9, 2))[0]
    for points in (sphere, np.pad(torus, ((0, 0), (0, 5))) @ turned):
        found = simplicity.intrinsic_dimension(points, neighbors=neighbors, clones=1)
        assert float(found["dimension"]) == pytest.approx(2.0, rel=0.06)
        assert abs(float(found["dimension"]) - 2) < 4 * float(found.reading.standard_errors["dimension"])
        assert found["clone dimension"][0] > 2.5


def test_a_gaussian_is_as_its_clones_and_points_twice_count_once() -> None:
    points = draws(1_000, 4) * [3.0, 1.0, 1.0, 0.5]
    found = simplicity.intrinsic_dimension(np.concatenate([points, points[:300]]), clones=3)
    assert int(found["points"]) == 1_000
    assert float(found["dimension"]) == pytest.approx(float(found["clone dimension"].mean()), rel=0.1)
    assert len(found.figure().panels) == 1
    with pytest.raises(tw.UsageError, match="different points"):
        simplicity.intrinsic_dimension(points[:3])


def test_digits_have_fewer_dimensions_than_gaussians_of_their_covariance() -> None:
    inputs, _ = tw.data.digits().train.slice(0, 1_437)
    found = simplicity.intrinsic_dimension(inputs, clones=2)
    assert float(found["dimension"]) < 0.8 * found["clone dimension"].min()


def test_features_of_the_tree_have_the_covariance_of_the_formula() -> None:
    found = simplicity.tree_features(3, 40_000, flip=0.2, seed=1)
    height = np.array([[max((i ^ j).bit_length(), 0) for j in range(8)] for i in range(8)])
    assert np.abs(found @ found.T / 40_000 - 0.6 ** (2.0 * height)).max() < 0.025
    splits, levels = simplicity.tree_splits(3)
    assert np.allclose(splits @ splits.T, np.eye(8))
    values = splits @ (0.6 ** (2.0 * height)) @ splits.T
    assert np.allclose(values, np.diag(np.diag(values)))
    by_level = [np.diag(values)[levels == level] for level in range(4)]
    assert all(np.ptp(one) < 1e-9 for one in by_level)
    assert (np.diff([one[0] for one in by_level]) < 0).all()


def test_broad_splits_come_first_at_the_times_of_the_closed_form_and_shuffled_ones_together() -> None:
    found = simplicity.hierarchy(4, steps=1_500, learning_rate=0.06, seed=500)
    tree, shuffled = found["time"]
    assert (np.diff(tree) > 0).all()
    assert np.abs(np.log(found["time"] / found["predicted time"])).max() < 0.05
    assert np.abs(found["share"] - found["predicted share"]).max() < 0.06
    assert tree[-1] / tree[1] > 2
    assert shuffled[1:].max() / shuffled[1:].min() < 1.2
    assert len(found.figure().panels) == 2


def test_a_mode_grows_as_descent_on_its_two_weights() -> None:
    u = v = 0.05
    for _ in range(4_000):
        u, v = u + 1e-3 * v * (0.7 - u * v), v + 1e-3 * u * (0.7 - u * v)
    assert u * v == pytest.approx(float(simplicity.mode_strength(4.0, 0.7, 0.0025)), rel=2e-3)
