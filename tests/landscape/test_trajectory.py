"""Planes of trajectories: principal components, what a random walk shows, what the plane leaves out."""

import numpy as np
import pytest
import torch
from cases import CASE

import thalweg as tw
from thalweg import landscape, optim
from thalweg.errors import UsageError
from thalweg.landscape.trajectory import principal_components, random_walk_shares
from thalweg.randomness import generator


@pytest.mark.parametrize(
    ("anchor", "shares"), [("mean", (0.608, 0.152)), ("start", (0.811, 0.090)), ("end", (0.811, 0.090))]
)
def test_a_random_walk_has_the_shares_of_theory(anchor: str, shares: tuple[float, float]) -> None:
    """6/pi^2 and 6/(2 pi)^2 about its mean, 8/pi^2 and 8/(3 pi)^2 from an end: by formula and by walking."""
    steps = np.arange(0, 401)
    found = random_walk_shares(steps, anchor)
    assert found[:2] == pytest.approx(shares, abs=0.005)
    walk = torch.randn(401, 20_000, generator=generator(0, "walk")).cumsum(0)
    center = {"mean": walk.mean(0), "start": walk[0], "end": walk[-1]}[anchor]
    _, _, walked = principal_components((walk - center)[None])
    assert walked[:2] == pytest.approx(shares, abs=0.01)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    moves = torch.randn(2, 6, 30, generator=generator(0, "moves"), dtype=torch.float64)
    axes, paths, shares = principal_components(moves)
    _, lengths, wanted = torch.linalg.svd(moves.reshape(12, 30), full_matrices=False)
    torch.testing.assert_close((axes * wanted[:2]).sum(1).abs(), torch.ones(2, dtype=torch.float64))
    np.testing.assert_allclose(shares, lengths.square() / lengths.square().sum(), atol=1e-12)
    np.testing.assert_allclose(paths, (moves @ axes.mT).numpy(), atol=1e-12)
    torch.testing.assert_close(axes @ axes.mT, torch.eye(2, dtype=torch.float64))


@pytest.fixture(scope="module")
def trained() -> tuple[tw.Problem, tw.Run]:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    return problem, tw.train(problem, tw.Recipe(optim.Momentum(0.05), 20, batch_size=8, snapshot=10), seeds=2)


@pytest.mark.parametrize("anchor", ["mean", "start", "end"])
def test_the_plane_goes_through_the_anchor_and_the_gap_is_what_is_lost(
    trained: tuple[tw.Problem, tw.Run], anchor: str
) -> None:
    problem, run = trained
    found = landscape.trajectory_plane(problem, run, members=1, anchor=anchor, resolution=5, statistics="frozen")
    renewed = landscape.trajectory_plane(problem, run, members=1, anchor=anchor, resolution=5)
    points = torch.stack([population.theta[1] for population in run.snapshots.values()])
    assert found.reading.coordinate("step").tolist() == list(run.snapshots)
    if anchor == "mean":
        np.testing.assert_allclose(found["path"][0].mean(0), 0, atol=1e-10)
    else:
        np.testing.assert_allclose(found["path"][0, 0 if anchor == "start" else -1], 0, atol=1e-10)
    assert found["share"][0] >= found["share"][1] > 0
    assert found["share"].sum() == pytest.approx(1)
    assert np.array_equal(found["random walk share"], random_walk_shares(np.array(list(run.snapshots)), anchor))
    # What is left of each point outside of the plane has no part along its axes.
    axes = torch.cat([direction for direction in found.surface.directions])
    center = {"mean": points.mean(0), "start": points[0], "end": points[-1]}[anchor]
    inside = center + torch.tensor(found["path"][0]) @ axes
    assert ((points - inside) @ axes.mT).abs().max() < 1e-10
    for place, (step, population) in enumerate(run.snapshots.items()):
        projected = run.final[1].with_theta(inside[place][None])  # with the statistics of the map
        for name, there in (("loss of the run", population[1]), ("loss of its projection", projected)):
            wanted = tw.evaluation.evaluate(problem, there, problem.data.train)["loss"]
            assert found[name][0, place] == pytest.approx(float(wanted[0]), rel=1e-9), step
        line = landscape.line(problem, projected, statistics="recompute", resolution=3)
        assert renewed["loss of its projection"][0, place] == pytest.approx(line["loss"][0, 1], rel=1e-9)
    assert np.array_equal(renewed["loss of the run"], found["loss of the run"])
    np.testing.assert_allclose(found["gap"], found["loss of the run"] - found["loss of its projection"])


def test_several_members_share_a_plane_and_figures_say_what_they_show(trained: tuple[tw.Problem, tw.Run]) -> None:
    problem, run = trained
    found = landscape.trajectory_plane(problem, run, members=[0, 1], resolution=4)
    assert found["path"].shape == (2, 11, 2)
    assert "random walk share" not in found.reading.arrays
    assert [mark.label for mark in found.figure().panels[0].marks[2:]] == ["member 0", "member 1"]
    single = landscape.trajectory_plane(problem, run, resolution=4)
    assert "random walk" in single.figure().panels[0].x.label
    assert len(single.gap_figure().panels[0].marks) == 2
    low, high = single.surface.coordinates[0][[0, -1]]
    assert low < single["path"][0, :, 0].min() < single["path"][0, :, 0].max() < high


def test_the_map_and_both_losses_are_of_the_examples_asked_for(trained: tuple[tw.Problem, tw.Run]) -> None:
    problem, run = trained
    some = tw.Sample("train", 9, seed=2)
    found = landscape.trajectory_plane(problem, run, resolution=3, on=some)
    assert found.reading.sample_size == found.surface.reading.sample_size == 9
    wanted = [float(tw.evaluate(problem, population[0], some)["loss"]) for population in run.snapshots.values()]
    assert found["loss of the run"][0] == pytest.approx(wanted, rel=1e-9)
    own = problem.data.train.select(some.draw(problem).indices)
    whole = landscape.trajectory_plane(problem, run, resolution=3, on=own)
    np.testing.assert_allclose(found["gap"], whole["gap"], rtol=1e-9)


def test_what_cannot_be_meant(trained: tuple[tw.Problem, tw.Run]) -> None:
    problem, run = trained
    with pytest.raises(UsageError, match="There is no member 2; the run has 2"):
        landscape.trajectory_plane(problem, run, members=2)
    with pytest.raises(UsageError, match="trajectory_plane anchor is one of mean, start, end; got 'origin'"):
        landscape.trajectory_plane(problem, run, anchor="origin")
    bare = tw.train(problem, tw.Recipe(optim.SGD(0.1), 2))
    with pytest.raises(UsageError, match=r"at least 3 snapshots, the run has 0; write Recipe\(snapshot=20\)"):
        landscape.trajectory_plane(problem, bare)
    still = tw.train(problem, tw.Recipe(optim.SGD(0.0), 3, snapshot=3))
    with pytest.raises(UsageError, match="moved along a line, or not at all"):
        landscape.trajectory_plane(problem, still)
