"""Planted nulls: where sharpness, width, batch size or the loss of a critical point make no difference."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.landscape import CriticalPoints
from thalweg.statistics import mean
from thalweg.studies import Experiment, Lab
from thalweg.studies.landscape import batches, flatness, saddles, widths

pytestmark = pytest.mark.usefixtures("kept_runs")


def outcome(experiment: Experiment, seed: int = 0) -> str:
    """Of the interval, whatever the claim's budget: runs are short here."""
    (finding,) = experiment(Lab(seed=seed))
    return finding.verdict.weakest.outcome


def test_errors_that_have_nothing_to_do_with_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAN3: the test errors of the networks, shuffled among them."""
    draws = np.random.default_rng(0)

    def shuffled(problem, population, on):
        found = tw.evaluate(problem, population, on)["accuracy"]
        return {"accuracy": found[torch.as_tensor(draws.permutation(len(found)))]}

    def sharpness(problem, population, seed):
        A = tw.curvature.hessian(problem, population)
        return {flatness.PRIMARY: tw.spectra.top_eigenvalues(A, 1, seed=seed).values[:, 0]}

    monkeypatch.setattr(flatness, "measures", sharpness)
    assert outcome(flatness.experiment) == "holds"
    monkeypatch.setattr(flatness, "evaluate", shuffled)
    assert [outcome(flatness.experiment, seed) for seed in range(4)].count("holds") == 0


def test_networks_of_one_width_in_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAN4: the widths are names only; starts differ, as each draws other numbers first."""

    def same(width):
        torch.rand(width)
        return tw.nets.mlp(64, 16, 16, 10, activation="tanh")

    monkeypatch.setattr(widths, "network", same)
    monkeypatch.setattr(widths, "STEPS", dict.fromkeys(widths.STEPS, 200))
    assert [outcome(widths.experiment, seed) for seed in range(3)].count("holds") == 0


def test_batches_of_one_size_in_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAN5: the batch sizes are names only; each has seeds of its own, so that networks differ as batches make them."""
    original = batches.trained

    def same(lab, problem, recipe, seeds):
        others = [seed + 10 * recipe.batch_size + recipe.steps for seed in seeds]
        return original(lab, problem, replace(recipe, batch_size=32, steps=batches.STEPS), others)

    monkeypatch.setattr(batches, "trained", same)
    monkeypatch.setattr(batches, "STEPS", 160)
    monkeypatch.setattr(batches, "BY_EPOCH", dict.fromkeys(batches.BY_EPOCH, (0.08, 1.28)))
    monkeypatch.setattr(batches, "BY_STEPS", batches.BY_EPOCH)
    assert [outcome(batches.experiment, seed) for seed in range(4)].count("holds") == 0


def test_one_arm_without_a_slope_beside_one_with_a_small_sure_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAN5: the claim is about both arms. Judged by the one with the smaller estimate, it would hold very often."""
    sizes, labs, drawn = np.array(batches.SIZES["quick"]), 80, []

    def planted(operator, k, *, seed):
        draws = np.random.default_rng(seed)
        count = len(operator) // (len(batches.ARMS) * len(sizes))
        slopes = np.stack([draws.normal(0, 1, count), *draws.normal(0.1, 0.01, (2, count))])
        drawn.append(slopes)
        return SimpleNamespace(values=np.exp(slopes[:, None] * np.log(sizes)[:, None]).reshape(-1, 1))

    def few(problem, run, only=None):
        return torch.zeros(3, 1), np.ones(3), np.zeros(3), np.zeros(3, dtype=bool)

    monkeypatch.setattr(batches, "trained", lambda *arguments: None)
    monkeypatch.setattr(batches, "chosen", few)
    monkeypatch.setattr(batches, "problem_of", lambda lab: SimpleNamespace(initialize=lambda seeds: Networks()))
    monkeypatch.setattr(batches, "curvature", SimpleNamespace(hessian=lambda problem, networks: networks.theta))
    monkeypatch.setattr(batches, "spectra", SimpleNamespace(top_eigenvalues=planted))
    monkeypatch.setattr(batches, "evaluate", lambda problem, networks, on: {"loss": networks.theta[:, 0]})
    held = [batches.experiment(Lab("quick", seed)) for seed in range(labs)]
    assert sum(finding.verdict.outcome == "holds" for (finding,) in held) <= 7  # 2.5 % of 80 are 2
    easier = [min(map(mean, slopes[:2]), key=lambda one: one.estimate).low > 0 for slopes in drawn]
    assert sum(easier) >= 16


class Networks:
    """Networks of which nothing but their number matters."""

    def with_theta(self, theta: torch.Tensor) -> "Networks":
        self.theta = theta
        return self


def test_an_index_without_relation_to_the_loss_and_one_that_is_not_0_at_the_bottom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LAN6: the indices of the critical points, shuffled among them; and 5 % more directions down at each of them."""
    draws, points, searches = np.random.default_rng(0), [], []
    starts, search = saddles.starts, saddles.critical_points

    def started_once(*args) -> tw.Population:
        points[:] = points or [starts(*args)]
        return points[0]

    def once(*args, **options) -> CriticalPoints:
        searches[:] = searches or [search(*args, **options)]
        return searches[0]

    def shuffled(A):
        found = tw.spectra.negative_index(A)
        order = draws.permutation(len(found["negative"]))
        return {name: found[name][order] for name in ("negative", "smallest eigenvalue")}

    def raised(A):
        found = tw.spectra.negative_index(A)
        return {"negative": found["negative"] + 0.05, "smallest eigenvalue": found["smallest eigenvalue"]}

    monkeypatch.setattr(saddles, "starts", started_once)
    monkeypatch.setattr(saddles, "critical_points", once)
    assert outcome(saddles.experiment) == "holds"
    monkeypatch.setattr(saddles, "negative_index", shuffled)
    assert [outcome(saddles.experiment) for _ in range(4)].count("holds") == 0
    monkeypatch.setattr(saddles, "negative_index", raised)
    (finding,) = saddles.experiment(Lab())
    assert [one.outcome for one in finding.verdict.parts] == ["holds", "fails"]
