"""The computations behind the verdicts on schedules, on planted cases with known answers."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from thalweg.evaluation import Sample
from thalweg.optim import Adam
from thalweg.schedules import Constant, Warmup
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.schedules import STUDY, cosine, inverse_square_root, language, trainable, warmup, warmup_runs
from thalweg.training import Recipe, train

RATES = np.array([1.0, 2.0, 4.0, 8.0])


def test_every_claim_has_its_part():
    assert [claim.id for claim in STUDY.claims] == ["SCH1", "SCH2", "SCH3"]


def test_the_largest_rate_lies_where_the_loss_crosses_in_the_logarithm_of_the_rate():
    losses = np.array([[1, 1, 3, 3], [1, 1.5, 1.75, 2.75], [1, 3, 1, 5.0]]).T
    found = trainable.largest(RATES, losses, 2.0)
    # Half way, a quarter of the way, and a quarter of the way after a rate in between that does not train.
    np.testing.assert_allclose(found.rate, [2 * 2**0.5, 4 * 2**0.25, 4 * 2**0.25])
    assert not found.none.any()
    assert not found.beyond.any()
    assert found.typical == pytest.approx(np.prod(found.rate) ** (1 / 3))


def test_a_grid_that_does_not_reach_is_told_on_its_side():
    losses = np.array([[1, 1, 1, 1], [3, 3, 3, 3], [1, 1, 1, 3.0]]).T
    found = trainable.largest(RATES, losses, 2.0)
    np.testing.assert_allclose(found.rate, [8, 1, 4 * 2**0.5])
    assert found.beyond.tolist() == [True, False, False]
    assert found.none.tolist() == [False, True, False]


def limit(rates, *, beyond=(), none=()):
    """A planted largest rate: which seeds lie at an end of the grid."""
    seeds = np.arange(len(rates))
    return trainable.Largest(np.asarray(rates, float), np.isin(seeds, beyond), np.isin(seeds, none))


BARE, TWICE = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0], [2.0, 2.3, 1.7, 2.1, 1.9, 2.05]


def test_the_gain_is_that_of_paired_seeds_and_judged_on_both_sides():
    found = trainable.gain(limit(TWICE), limit(BARE))
    assert found.estimate == pytest.approx(np.exp(np.mean(np.log(TWICE) - np.log(BARE))))
    assert warmup.CLAIM.judge(found).outcome == "holds"
    assert warmup.CLAIM.judge(trainable.gain(limit(BARE), limit(TWICE))).outcome == "fails"
    slight = trainable.gain(limit(np.array(BARE) * [1.1, 1.11, 1.09, 1.1, 1.12, 1.1]), limit(BARE))
    assert slight.low > 1
    assert warmup.CLAIM.judge(slight).outcome == "fails"  # smaller than what is worth having


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ({"beyond": [0]}, {}, False, True),
        ({"none": [1]}, {}, True, False),
        ({}, {"beyond": [2]}, True, False),
        ({}, {"none": [3]}, False, True),
    ],
)
def test_an_end_is_open_where_the_grid_ended(first, second, low, high):
    found = trainable.gain(limit(TWICE, **first), limit(BARE, **second))
    assert (found.low == 0, found.high == math.inf) == (low, high)
    assert "open" in found.method


def test_frequencies_alone_give_their_entropy():
    assert trainable.frequencies_alone(torch.tensor([[0, 1], [3, 4]])) == pytest.approx(math.log(4))
    assert trainable.frequencies_alone(torch.tensor([2, 2, 2, 5])) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )


@pytest.fixture(scope="module")
def post_norm():
    """The problem of SCH1."""
    return language.language_model(Lab(), warmup_runs.DEPTH, 1, norm="post")


def test_final_losses_are_those_of_each_arm_rate_and_seed_alone(post_norm):
    rates = np.array([1e-3, 1e-2])
    losses = warmup_runs.final_losses(Lab(), post_norm, rates, 6, [3, 4], "test")
    assert {arm: each.shape for arm, each in losses.items()} == dict.fromkeys(warmup_runs.ARMS, (2, 2))
    for arm, schedule in ((warmup_runs.BARE, Constant()), (warmup_runs.WARM, Warmup(warmup_runs.WARMUP))):
        rule = Adam(1e-2, beta2=warmup_runs.BETA2)
        some = Sample("train", warmup_runs.MEASURED)
        recipe = Recipe(rule, 6, warmup_runs.BATCH, schedule, evaluate=0, evaluate_train_on=some)
        alone = train(post_norm, recipe, [4]).history.final("train_loss")
        np.testing.assert_allclose(losses[arm][1, 1], alone[0], rtol=1e-4)


def test_a_run_that_gets_worse_counts_as_the_loss_before_training(post_norm):
    losses = warmup_runs.final_losses(Lab(), post_norm, np.array([30.0]), 3, [3], "test")
    start = post_norm.initialize([3]).module(0)
    inputs, targets = post_norm.data.train.take(Sample("train", warmup_runs.MEASURED).draw(post_norm).indices)
    before = torch.nn.functional.cross_entropy(start(inputs).flatten(0, 1), targets.flatten())
    assert losses[warmup_runs.BARE][0, 0] == pytest.approx(before.item(), rel=1e-5)


def test_gradient_norms_are_those_of_the_modules(post_norm):
    at, norms = warmup_runs.gradient_norms(Lab(), post_norm, 1e-3, 16, [3, 4], "test")
    assert at[: warmup_runs.EARLY].tolist() == list(range(warmup_runs.EARLY))
    assert at[-warmup_runs.LATE :].tolist() == list(range(17 - warmup_runs.LATE, 17))
    assert norms.shape == (len(at), 2)
    module = post_norm.initialize([3, 4]).module(1)
    inputs, targets = post_norm.data.train.take(torch.arange(warmup_runs.WINDOWS))
    loss = torch.nn.functional.cross_entropy(module(inputs).flatten(0, 1), targets.flatten())
    parts = torch.autograd.grad(loss, list(module.parameters()))
    assert norms[0, 1] == pytest.approx(torch.cat([part.flatten() for part in parts]).norm().item(), rel=1e-4)


def test_the_fall_of_the_gradient_is_early_over_late():
    norms = np.ones((20, 3))
    norms[: warmup_runs.EARLY], norms[-warmup_runs.LATE :] = 6.0, 2.0
    found = warmup_runs.Found({}, {}, np.arange(20), norms)
    assert found.fall.estimate == pytest.approx(3)


def said(bare, warm):
    """The sentences on planted largest rates."""
    arms = {warmup_runs.BARE: bare, warmup_runs.WARM: warm}
    found = warmup_runs.Found({}, arms, np.arange(20), np.ones((20, 6)))
    return list(warmup.sentences("post-norm", found, RATES))


def test_the_sentences_of_sch1_warn_where_the_grid_ended():
    warned = said(limit(BARE, none=[0, 1]), limit(TWICE, beyond=[2]))
    assert any("without warmup no rate trains for 2 of 6 seeds" in sentence for sentence in warned)
    assert any("the largest rate tried, 8, still trains for 1 of 6 seeds" in sentence for sentence in warned)
    assert len(said(limit(BARE), limit(TWICE))) == 2


def test_schedules_share_their_warmup_and_end_as_they_say():
    steps = 100
    shapes = language.shapes(steps)
    at = np.arange(1, steps + 1)
    curves = {name: np.broadcast_to(schedule(at, steps), at.shape) for name, schedule in shapes.items()}
    for curve in curves.values():
        np.testing.assert_allclose(curve[:4], [0.25, 0.5, 0.75, 1])
    ends = {name: curve[-1] for name, curve in curves.items()}
    expected = {"constant": 1, "cosine": 0, "linear": 0, "WSD": 0, "inverse square root": (4 / 100) ** 0.5}
    assert ends == pytest.approx(expected, abs=1e-12)
    assert (curves["WSD"][3:80] == 1).all()
    np.testing.assert_allclose(curves["linear"][51], 0.5)  # half way from 4 to 100
    np.testing.assert_allclose(curves["cosine"][51], 0.5)


def test_three_cycles_of_restarts_fill_the_run():
    steps = 1200
    at = np.arange(1, steps + 1)
    curve = language.restarts(steps)(at, steps)
    starts = np.flatnonzero(np.diff(curve[48:]) > 0.5) + 49
    cycle = (steps - 48) / 7
    np.testing.assert_allclose(starts, [48 + cycle, 48 + 3 * cycle], atol=1)
    assert curve[-1] == pytest.approx(0, abs=1e-12)


def test_the_best_rate_is_that_of_the_least_mean_loss_and_never_one_that_diverged():
    tuned = {"a": np.array([[3, 3], [1, 2], [0, 9.0]]), "b": np.array([[3, 3], [4, 4], [0, np.inf]])}
    assert language.best_rates(np.array([0.1, 0.2, 0.4]), tuned) == {"a": 0.2, "b": 0.1}


def test_losses_by_window_are_those_of_the_modules():
    problem = language.language_model(Lab(), language.DEPTH, 8)
    population = problem.initialize([0, 1])
    table = language.by_window(problem, population)
    inputs, targets = problem.data.test.inputs, problem.data.test.targets
    for member in range(2):
        logits = population.module(member)(inputs)
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(1)
        np.testing.assert_allclose(table[member], each.detach().numpy(), rtol=1e-4)


def test_the_smaller_of_two_holds_only_if_both_do():
    clear = interval.Interval(0.5, 0.4, 0.6, 8, "planted")
    weak = interval.Interval(0.2, -0.1, 0.7, 6, "planted")
    found = inverse_square_root.smaller(clear, weak)
    assert (found.estimate, found.low, found.high, found.n) == (0.2, -0.1, 0.6, 6)
    claim = inverse_square_root.CLAIM
    assert claim.judge(inverse_square_root.smaller(clear, clear)).outcome == "holds"
    assert claim.judge(found).outcome == "undecided"
    behind = interval.Interval(-0.2, -0.3, -0.1, 8, "planted")
    assert claim.judge(inverse_square_root.smaller(clear, behind)).outcome == "fails"
    assert claim.judge(inverse_square_root.smaller(behind, clear)).outcome == "fails"


@dataclasses.dataclass(frozen=True)
class Planted(language.Comparison):
    """A comparison whose losses are given, by schedule and then early and at the end."""

    losses: dict = dataclasses.field(default_factory=dict)

    def by_window(self, name, step):
        """The given loss, a little different by seed and window."""
        place = 0 if step == self.early else 1
        noise = np.random.default_rng(len(name)).normal(0, 0.002, (6, 30))
        return self.losses[name][place] + noise

    def curve(self, name):
        """The same three losses for every seed."""
        return np.array([0, self.early, self.steps]), np.outer([4.0, *self.losses[name]], np.ones(6))


def planted(losses, *, best=1):
    """Losses (early, end) by schedule, every schedule best at the rate of this index."""
    steps = 100
    shapes = language.shapes(steps)
    losses = {name: losses.get(name, (3.0, 2.0)) for name in (*shapes, language.RESTARTS)}
    runs = {
        name: SimpleNamespace(recipe=SimpleNamespace(schedule=schedule))
        for name, schedule in (shapes | {language.RESTARTS: language.restarts(steps)}).items()
    }
    tuned = np.full((3, 2), 9.0)
    tuned[best] = 1.0
    rates = np.array([0.1, 0.2, 0.4])
    return Planted(None, steps, rates, dict.fromkeys(shapes, tuned), [0, 1], list(range(2, 8)), runs, losses)


def test_sch2_finds_a_planted_gain_and_fails_on_a_planted_loss():
    found = cosine.decide(Lab(), planted({"constant": (3.0, 2.2)}))
    assert found.verdict.interval.estimate == pytest.approx(0.2, abs=0.002)
    assert found.verdict.outcome == "holds"
    assert cosine.decide(Lab(), planted({"constant": (3.0, 1.9)})).verdict.outcome == "fails"
    assert cosine.decide(Lab(), planted({"constant": (3.0, 2.005)})).verdict.outcome == "fails"  # not worth having


def test_sch2_names_the_best_schedule_from_the_numbers():
    found = cosine.decide(Lab(), planted({"WSD": (3.0, 1.8)}))
    assert "WSD has the lowest loss, 1.800" in found.sentences[0]


@pytest.mark.parametrize(
    ("early", "end", "outcome"), [(2.8, 2.2, "holds"), (2.8, 1.9, "fails"), (3.2, 2.2, "fails"), (3.2, 1.9, "fails")]
)
def test_sch3_holds_only_if_ahead_early_and_behind_at_the_end(early, end, outcome):
    found = inverse_square_root.decide(Lab(), planted({"inverse square root": (early, end)}))
    assert found.verdict.outcome == outcome
    assert found.verdict.interval.estimate == pytest.approx(min(3 - early, end - 2), abs=0.002)


@pytest.mark.parametrize("decide", [cosine.decide, inverse_square_root.decide])
def test_a_best_rate_on_the_edge_of_its_grid_is_warned_of(decide):
    inner = decide(Lab(), planted({})).sentences
    assert not any("edge of its grid" in sentence for sentence in inner)
    edge = decide(Lab(), planted({}, best=2)).sentences
    assert any("0.4, lies on the edge of its grid" in sentence for sentence in edge)
