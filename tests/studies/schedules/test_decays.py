"""The computations behind SCH2 and SCH3, on planted losses with known answers."""

import numpy as np
import pytest

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.schedules import comparison, cosine, inverse_square_root, language

STEPS, RATES = 100, np.array([0.1, 0.2, 0.4])
LONG = int(comparison.BUDGET["steps"])


def test_schedules_share_their_warmup_and_end_as_they_say() -> None:
    at = np.arange(1, STEPS + 1)
    shapes = language.shapes(STEPS)
    curves = {name: np.broadcast_to(shape(at, STEPS), at.shape) for name, shape in shapes.items()}
    for curve in curves.values():
        np.testing.assert_allclose(curve[:4], [0.25, 0.5, 0.75, 1])
    ends = {name: curve[-1] for name, curve in curves.items()}
    expected = {"constant": 1, "cosine": 0, "linear": 0, "WSD": 0, "inverse square root": (4 / 100) ** 0.5}
    assert ends == pytest.approx(expected | {language.RESTARTS: 0}, abs=1e-12)
    assert (curves["WSD"][3:80] == 1).all()
    np.testing.assert_allclose(curves["linear"][51], 0.5)  # half way from 4 to 100
    np.testing.assert_allclose(curves["cosine"][51], 0.5)


def test_three_cycles_of_restarts_fill_the_run() -> None:
    steps = 1200
    at = np.arange(1, steps + 1)
    curve = language.shapes(steps)[language.RESTARTS](at, steps)
    starts = np.flatnonzero(np.diff(curve[48:]) > 0.5) + 49
    cycle = (steps - 48) / 7
    np.testing.assert_allclose(starts, [48 + cycle, 48 + 3 * cycle], atol=1)
    assert curve[-1] == pytest.approx(0, abs=1e-12)


def test_the_best_rate_is_that_of_the_least_mean_loss_and_never_one_that_diverged() -> None:
    tuned = {"a": np.array([[3, 3], [1, 2], [0, 9.0]]), "b": np.array([[3, 3], [4, 4], [0, np.inf]])}
    assert comparison.best_rates(RATES, tuned) == {"a": 0.2, "b": 0.1}


def planted(
    losses: dict[str, tuple[float, float]], *, best: int = 1, noise: float = 0.002, seed: int = 0, steps: int = LONG
) -> comparison.Comparison:
    """Losses (early, end) by schedule, and what seeds and windows add; the best rate is that of this index."""
    rng, tuned, seeds = np.random.default_rng(seed), np.full((3, 2), 9.0), Lab().seeds(quick=6, full=6, shared_tuning=2)
    tuned[best] = 1.0
    windows, course = {}, {}
    for name in language.shapes(steps):
        ends = np.array(losses.get(name, (3.0, 2.0)))
        by_seed, by_window = rng.normal(0, noise, (2, 6, 1)), rng.normal(0, noise, (2, 1, 30))
        windows[name] = ends[:, None, None] + by_seed + by_window + rng.normal(0, noise, (2, 6, 30))
        course[name] = np.vstack([np.full((1, 6), 4.0), windows[name].mean(2)])
    at = np.array([0, steps // comparison.EARLY, steps])
    return comparison.Comparison(RATES, seeds, dict.fromkeys(windows, tuned), at, course, windows)


def sch2(given: comparison.Comparison) -> Finding:
    """The finding on SCH2."""
    return cosine.finding(Lab(), given)


def sch3(given: comparison.Comparison) -> Finding:
    """The finding on SCH3."""
    return inverse_square_root.finding(Lab(), given)


def test_sch2_finds_a_planted_gain_and_fails_on_a_planted_loss() -> None:
    found = sch2(planted({"constant": (3.0, 2.2)}))
    assert found.verdict.interval.estimate == pytest.approx(0.2, abs=0.005)
    assert found.verdict.outcome == "holds"
    assert sch2(planted({"constant": (3.0, 1.9)})).verdict.outcome == "fails"
    assert sch2(planted({"constant": (3.0, 2.003)})).verdict.outcome == "fails"  # not worth having


@pytest.mark.parametrize("end", [1.9, 2.2])
@pytest.mark.parametrize("finding", [sch2, sch3])
def test_in_short_runs_nothing_is_called_and_the_interval_stays(finding, end: float) -> None:
    losses = {"constant": (3.0, end), "inverse square root": (2.8, end)}
    short, long = (finding(planted(losses, steps=steps)).verdict for steps in (LONG - 1, LONG))
    assert short.interval == long.interval
    assert short.words == f"undecided: {LONG - 1:,} of {LONG:,} steps"
    assert long.outcome == ("holds" if end > 2 else "fails")


def test_sch2_names_the_best_schedule_from_the_numbers() -> None:
    found = sch2(planted({"WSD": (3.0, 1.8)}, noise=0))
    assert "WSD has the lowest loss, 1.800" in found.sentences[0]


@pytest.mark.parametrize(
    ("early", "end", "outcome"), [(2.8, 2.2, "holds"), (2.8, 1.9, "fails"), (3.2, 2.2, "fails"), (3.2, 1.9, "fails")]
)
def test_sch3_holds_only_if_ahead_early_and_behind_at_the_end(early: float, end: float, outcome: str) -> None:
    found = sch3(planted({"inverse square root": (early, end)}))
    assert found.verdict.outcome == outcome
    assert found.verdict.interval.estimate == pytest.approx(min(3 - early, end - 2), abs=0.005)


@pytest.mark.parametrize("finding", [sch2, sch3])
def test_a_best_rate_on_the_edge_of_its_grid_is_warned_of(finding) -> None:
    assert not any("edge of its grid" in sentence for sentence in finding(planted({})).sentences)
    edge = finding(planted({}, best=2)).sentences
    assert any("0.4, lies on the edge of its grid" in sentence for sentence in edge)


def test_windows_average_to_the_course_of_the_same_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "STEPS", {"quick": 10, "full": 10})
    monkeypatch.setattr(comparison, "RATES", {"quick": (-6, -5), "full": (-6, -5)})
    found = comparison.compare(Lab())
    assert (found.steps, found.early, found.seeds.scored) == (10, 2, [2, 3, 4, 5, 6])
    assert set(found.course) == set(found.windows) == {*found.tuned, language.RESTARTS} == set(language.shapes(10))
    early = found.at.tolist().index(2)
    for name, windows in found.windows.items():
        assert windows.shape == (2, 5, 128)
        np.testing.assert_allclose(windows.mean(2), found.course[name][[early, -1]], rtol=1e-5)
    np.testing.assert_allclose(found.course["constant"][0], found.course["cosine"][0], rtol=1e-5)  # the same starts
    assert (abs(found.course["constant"][-1] - found.course["cosine"][-1]) > 1e-3).all()


@pytest.mark.parametrize(("finding", "losses"), [(sch2, {}), (sch3, {"inverse square root": (2.5, 2.0)})])
def test_noise_of_seeds_and_windows_is_seldom_taken_for_an_effect(finding, losses) -> None:
    held = [finding(planted(losses, noise=0.1, seed=seed)).verdict.outcome == "holds" for seed in range(60)]
    assert sum(held) <= 5  # 2.5 % of 60 are 1.5; of more than 5 the chance is 0.4 %
