"""Planes through three networks: of known potentials, and of networks built by hand."""

import numpy as np
import pytest
import torch
from cases import CASE
from connectivity.wells import double_well, place, problem_of

import thalweg as tw
from thalweg.connectivity import plane
from thalweg.errors import UsageError
from thalweg.evaluation import evaluate, recomputed


def test_of_two_parameters_it_is_the_whole_space() -> None:
    """Through (-1, 0), (1, 0) and (0.5, 3), u = (2, 0) and v = (0, 2)."""
    problem = problem_of(lambda at: double_well(at) + 0.3 * at[1] ** 2 + at[0] * at[1], 2)
    found = plane(problem, *(place(problem, at) for at in ([-1.0, 0.0], [1.0, 0.0], [0.5, 3.0])), resolution=11)
    assert found["distance"] == pytest.approx(2)
    assert found["corners"][0] == pytest.approx(np.array([[0, 0], [1, 0], [0.75, 1.5]]))
    x, y = (-1 + 2 * found["x"][0])[:, None], (2 * found["y"][0])[None]
    assert found["loss"][0] == pytest.approx((x**2 - 1) ** 2 + 0.3 * y**2 + x * y, abs=1e-12)
    assert found["x"][0, [0, -1]] == pytest.approx([-0.25, 1.25])
    assert found["y"][0, [0, -1]] == pytest.approx([-0.375, 1.875])


def test_axes_are_at_right_angles_and_as_long_as_the_first_two_are_apart() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    networks = [problem.initialize([seed, seed + 10]) for seed in range(3)]
    found = plane(problem, *networks, resolution=3, margin=0.1)
    a, b, c = (one.theta for one in networks)
    u = b - a
    v = (c - a) - ((c - a) * u).sum(1, keepdim=True) / (u * u).sum(1, keepdim=True) * u
    v *= torch.linalg.vector_norm(u, dim=1, keepdim=True) / torch.linalg.vector_norm(v, dim=1, keepdim=True)
    for column, row in ((0, 0), (1, 2), (2, 1)):
        x, y = (torch.from_numpy(found[name][:, [at]].copy()) for name, at in (("x", column), ("y", row)))
        there = recomputed(problem, networks[0].with_theta(a + x * u + y * v).copy())
        wanted = evaluate(problem, there, "train")
        assert found["loss"][:, column, row] == pytest.approx(wanted["loss"].numpy(), rel=1e-9)
        assert 1 - found["error"][:, column, row] == pytest.approx(wanted["accuracy"].numpy(), abs=1e-12)
    for member in (0, 1):
        placed = found.place(tw.Population.concatenate([one[member] for one in networks]), member)
        assert placed[:, :2] == pytest.approx(found["corners"][member], abs=1e-9)
        assert placed[:, 2] == pytest.approx(0, abs=1e-9)
        off = found.place(problem.initialize([50]), member)
        assert off[0, 2] > 0.1


def test_weights_and_networks_have_one_place() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=60, test=20))
    a, b, c = problem.initialize(3)
    found = plane(problem, a, b, c, resolution=2)
    t = np.linspace(0, 1, 9)
    weights = np.stack([(1 - t) ** 2, t**2, 2 * t * (1 - t)], axis=1)
    rows = torch.from_numpy(weights).float() @ torch.cat([a.theta, b.theta, c.theta])
    assert found.place(a.with_theta(rows)) == pytest.approx(found.place(weights), abs=1e-5)
    figure = found.figure("error", paths={"curve": weights, "line": [[1, 0, 0], [0, 1, 0]]}, names=("A", "B", "bend"))
    marks = figure.panels[0].marks
    assert [mark.label for mark in marks[2:]] == ["curve", "line", "A", "B", "bend"]
    assert marks[3].x.tolist() == [0, 1]
    assert (marks[4].x[0], marks[4].y[0]) == (0, 0)
    assert "projected" not in figure.caption
    far = found.figure(paths={"elsewhere": problem.initialize([7, 8])})
    assert "elsewhere: up to" in far.caption
    far.to_matplotlib()
    far.to_plotly()


def test_what_spans_no_plane_and_what_cannot_be_meant_is_refused() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=60, test=20))
    a, b, c = problem.initialize(3)
    middle = a.with_theta((a.theta + b.theta) / 2)
    for three in ((a, a, c), (a, b, b), (a, b, middle), (a, b, c.with_theta(c.theta * np.nan))):
        with pytest.raises(UsageError, match="networks of member 0 span no plane"):
            plane(problem, *three)
    other = tw.Population.initialize(lambda: tw.nets.mlp(64, 9, 10), [0])
    with pytest.raises(UsageError, match=r"'hidden1.weight' is \(8, 64\) in the first and \(9, 64\) in the second"):
        plane(problem, a, b, other)
    for options, words in (
        ({"resolution": 1}, "at least 2"),
        ({"margin": -0.1}, "at least 0"),
        ({"margin": "a"}, "0.25"),
    ):
        with pytest.raises(UsageError, match=words):
            plane(problem, a, b, c, **options)
    found = plane(problem, a, b, c, resolution=2)
    for wrong, words in (
        (lambda: found.place([[0.5, 0.2, 0.1]]), "sum to 1"),
        (lambda: found.place([0.5, 0.5]), r"shape \(2,\)"),
        (lambda: found.place(other), "one architecture"),
        (lambda: found.figure("accuracy"), "loss, error"),
        (lambda: found.figure(member=1), "no member 1"),
        (lambda: found.figure(names=("a", "b")), "three networks"),
    ):
        with pytest.raises(UsageError, match=words):
            wrong()
