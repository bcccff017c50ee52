"""The computations behind SCH2 and SCH3, on planted losses with known answers."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from thalweg.claims import Finding
from thalweg.data import Data, Examples
from thalweg.evaluation import Sample
from thalweg.optim import Adam
from thalweg.studies.lab import Lab
from thalweg.studies.schedules import comparison, cosine, inverse_square_root, language
from thalweg.training import Recipe, train

ONE = Sample("train", 1)  # little to evaluate
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


def test_each_seed_takes_the_rate_of_least_loss_on_its_own_tuning_seeds_and_never_one_that_diverged() -> None:
    one = np.array([[3, 3], [1, 2], [0, 9.0]])
    other = np.array([[3, 3], [4, 4], [0, np.inf]])
    tuned = {"a": np.stack([one, other], 1), "b": np.stack([other, one], 1)}
    chosen = comparison.chosen_rates(RATES, tuned)
    assert {name: rates.tolist() for name, rates in chosen.items()} == {"a": [0.2, 0.1], "b": [0.1, 0.2]}


def test_windows_to_tune_on_and_to_score_on_predict_different_bytes_of_one_text(monkeypatch) -> None:
    tokens = torch.arange(16 * 300)  # every byte of the text another one, so that it is known where windows lie
    windows = Examples(tokens.view(300, 16), tokens.view(300, 16) + 1)
    numbered = Data(windows.select(torch.arange(50)), windows.select(torch.arange(50, 300)), classes=16 * 300 + 1)
    vocabulary = {"vocabulary": torch.arange(16 * 300 + 1)}
    monkeypatch.setattr(language, "text", lambda *, context: replace(numbered, ground_truth=vocabulary))
    tune, score = language.to_tune_and_to_score(Lab(), 1, 100)
    (first, second), (trained, again) = (
        [set(rows(problem).targets.flatten().tolist()) for problem in (tune, score)]
        for rows in (lambda problem: problem.data.test, lambda problem: problem.data.train)
    )
    assert len(first) == len(second) == 100 * 16
    assert not first & second
    assert not trained & (first | second)
    assert trained == again
    assert torch.equal(tune.initialize([3]).theta, score.initialize([3]).theta)


def planted(
    losses: dict[str, tuple[float, float]],
    *,
    best: int | list[int] = 1,
    noise: float = 0.002,
    seed: int = 0,
    steps: int = LONG,
) -> comparison.Comparison:
    """Losses (early, end) by schedule, and what seeds and windows add; the best rate of each seed is of this index."""
    rng, seeds = np.random.default_rng(seed), Lab().seeds(quick=6, full=6, tuning=1)
    tuned = np.full((3, 6, 1), 9.0)
    tuned[best, np.arange(6)] = 1.0
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
def test_best_rates_on_the_edge_of_their_grid_are_counted_and_warned_of(finding) -> None:
    assert not any("edge of its grid" in sentence for sentence in finding(planted({})).sentences)
    warned = finding(planted({}, best=[1, 1, 2, 0, 1, 1])).sentences
    told = "The best peak rate of cosine lies on the edge of its grid for 2 of 6 seeds, 1 at 0.1 and 1 at 0.4:"
    assert any(one.startswith(told) for one in warned)


@pytest.mark.parametrize("finding", [sch2, sch3])
def test_what_each_seed_chose_is_told(finding) -> None:
    found = finding(planted({}, best=[1, 1, 2, 0, 1, 1]))
    (chosen,) = (reading for reading in found.readings if reading.name == "best peak rate")
    np.testing.assert_allclose(
        chosen["best peak rate"], [[0.2, 0.2, 0.4, 0.1, 0.2, 0.2]] * len(chosen["best peak rate"])
    )
    typical = found.verdict.numbers["best peak rate, geometric mean"]
    assert typical["cosine"] == pytest.approx(0.2)


@pytest.fixture(scope="module")
def short() -> Iterator[comparison.Comparison]:
    """Ten steps at two rates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "STEPS", {"quick": 10, "full": 10})
        patch.setattr(comparison, "RATES", {"quick": (-6, -5), "full": (-6, -5)})
        yield comparison.compare(Lab())


def test_windows_average_to_the_course_of_the_same_runs(short: comparison.Comparison) -> None:
    assert (short.steps, short.early) == (10, 2)
    assert (short.seeds.own_tuning, short.seeds.scored) == ([[0], [1], [2], [3], [4]], [5, 6, 7, 8, 9])
    assert set(short.course) == set(short.windows) == {*short.tuned, language.RESTARTS} == set(language.shapes(10))
    early = short.at.tolist().index(2)
    for name, windows in short.windows.items():
        assert windows.shape == (2, 5, 128)
        np.testing.assert_allclose(windows.mean(2), short.course[name][[early, -1]], rtol=1e-5)
    np.testing.assert_allclose(short.course["constant"][0], short.course["cosine"][0], rtol=1e-5)  # the same starts
    assert (abs(short.course["constant"][-1] - short.course["cosine"][-1]) > 1e-3).all()


def test_losses_are_tuned_on_some_windows_and_scored_on_others(short: comparison.Comparison) -> None:
    tune, score = language.to_tune_and_to_score(Lab(), comparison.DEPTH, comparison.HELD_OUT["quick"])
    rule, shape = Adam(float(short.rates[1]), beta2=language.BETA2), language.shapes(10)["WSD"]
    recipe = Recipe(rule, 10, comparison.BATCH, shape, evaluate=0, evaluate_train_on=ONE)
    tuned = train(tune, recipe, [3]).history.final("test_loss")
    np.testing.assert_allclose(short.tuned["WSD"][1, 3], tuned, rtol=1e-4)
    here = replace(recipe, optimizer=Adam(float(short.best["WSD"][3]), beta2=language.BETA2))
    np.testing.assert_allclose(
        short.course["WSD"][-1, 3], train(score, here, [8]).history.final("test_loss")[0], rtol=1e-4
    )


def test_each_network_is_trained_at_its_own_rate() -> None:
    _, score = language.to_tune_and_to_score(Lab(), comparison.DEPTH, 16)
    recipe = Recipe(Adam(1.0), 3, comparison.BATCH, evaluate=3, snapshot=(1, 3), evaluate_train_on=ONE)
    rates, seeds = np.array([0.02, 0.005, 0.02]), [5, 6, 7]
    course, windows = comparison.each_at_its_rate(Lab(), score, recipe, rates, seeds, "test")
    assert (course.shape, windows.shape) == ((4, 3), (2, 3, 16))
    for i, (rate, seed) in enumerate(zip(rates, seeds, strict=True)):
        alone = train(score, replace(recipe, optimizer=Adam(rate, beta2=language.BETA2)), [seed])
        np.testing.assert_allclose(course[:, i], alone.history["test_loss"][:, 0], rtol=1e-4)
        np.testing.assert_allclose(windows[:, i].mean(1), course[[1, 3], i], rtol=1e-4)


@pytest.mark.parametrize(("finding", "losses"), [(sch2, {}), (sch3, {"inverse square root": (2.5, 2.0)})])
def test_noise_of_seeds_and_windows_is_seldom_taken_for_an_effect(finding, losses) -> None:
    held = [finding(planted(losses, noise=0.1, seed=seed)).verdict.outcome == "holds" for seed in range(60)]
    assert sum(held) <= 5  # 2.5 % of 60 are 1.5; of more than 5 the chance is 0.4 %
