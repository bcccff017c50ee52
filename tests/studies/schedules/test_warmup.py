"""The computations behind SCH1, against single modules and single runs."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from thalweg.data import Examples
from thalweg.evaluation import Sample
from thalweg.optim import Adam
from thalweg.population import Problem
from thalweg.schedules import Constant, Warmup
from thalweg.studies.lab import Lab, Scale
from thalweg.studies.schedules import warmup
from thalweg.studies.schedules.language import language_model
from thalweg.training import Recipe, train


@pytest.fixture(scope="module")
def post_norm() -> Problem:
    """The problem of SCH1."""
    return language_model(Lab(), warmup.DEPTH, 1, norm="post")


def test_frequencies_alone_give_their_entropy() -> None:
    windows = Examples(torch.zeros(2, 4), torch.tensor([[0, 1, 0, 1], [3, 3, 4, 4]]))
    problem = SimpleNamespace(data=SimpleNamespace(train=windows))
    assert warmup.frequencies_alone(problem) == pytest.approx(math.log(4))


def test_final_losses_are_those_of_each_arm_rate_and_seed_alone(post_norm: Problem) -> None:
    losses = warmup.final_losses(Lab(), post_norm, np.array([1e-3, 1e-2]), 6, [3, 4], "test")
    assert losses.shape == (len(warmup.ARMS), 2, 2)
    for arm, schedule in zip(losses, (Constant(), Warmup(warmup.WARMUP)), strict=True):
        rule = Adam(1e-2, beta2=warmup.BETA2)
        recipe = Recipe(rule, 6, warmup.BATCH, schedule, evaluate=0, evaluate_train_on=warmup.MEASURED)
        alone = train(post_norm, recipe, [4]).history.final("train_loss")
        np.testing.assert_allclose(arm[1, 1], alone[0], rtol=1e-4)


def test_a_run_that_gets_worse_counts_as_the_loss_before_training(post_norm: Problem) -> None:
    losses = warmup.final_losses(Lab(), post_norm, np.array([30.0]), 3, [3], "test")
    start = post_norm.initialize([3]).module(0)
    inputs, targets = post_norm.data.train.take(warmup.MEASURED.draw(post_norm).indices)
    before = torch.nn.functional.cross_entropy(start(inputs).flatten(0, 1), targets.flatten())
    assert losses[0, 0, 0] == pytest.approx(before.item(), rel=1e-5)


def test_gradient_norms_are_those_of_the_modules(post_norm: Problem) -> None:
    norms = warmup.gradient_norms(Lab(), post_norm, 1e-3, (0, 1, 3), [3, 4], "test")
    assert norms.shape == (3, 2)
    module = post_norm.initialize([3, 4]).module(1)
    inputs, targets = post_norm.data.train.take(Sample("train", 32).draw(post_norm).indices)
    loss = torch.nn.functional.cross_entropy(module(inputs).flatten(0, 1), targets.flatten())
    parts = torch.autograd.grad(loss, list(module.parameters()))
    assert norms[0, 1] == pytest.approx(torch.cat([part.flatten() for part in parts]).norm().item(), rel=1e-4)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch):
    """The finding of SCH1 on the largest rates that are planted, with a little noise and without training."""
    rng = np.random.default_rng(0)

    def noisy(values: np.ndarray) -> np.ndarray:
        """Each value off by about a thousandth: where all seeds agree nothing is decided."""
        return values * (1 + 1e-3 * rng.standard_normal(values.shape))

    def find(bare: list[float], warm: list[float], scale: Scale = "quick", fall: float = 3.0):
        def final(lab, problem, rates, steps, seeds, label):
            """Low up to a rate, high above it."""
            ends = np.array([np.resize(each, len(seeds)) for each in (bare, warm)])[:, None]
            return noisy(np.where(rates[:, None] <= ends, 1.0, 5.0))

        def norms(lab, problem, rate, at, seeds, label):
            """So many times as large early as late."""
            return noisy(np.where(np.arange(len(at)) < warmup.EARLY, 2 * fall, 2.0)[:, None] * np.ones(len(seeds)))

        monkeypatch.setattr(warmup, "final_losses", final)
        monkeypatch.setattr(warmup, "gradient_norms", norms)
        (finding,) = warmup.experiment(Lab(scale))
        return finding

    return find


def test_sch1_holds_on_a_planted_gain_and_fails_on_a_planted_loss(planted) -> None:
    small, large = [2**-6.5, 2**-6.5, 2**-5.5, 2**-6.5, 2**-6.5], [2**-4.5] * 5
    assert planted(small, large).verdict.outcome == "holds"
    little = planted(small, [*small[1:], 2**-5.5]).verdict
    assert (little.outcome, little.interval.high > 1.25) == ("undecided", True)  # it may be worth having, or not
    assert planted(large, small).verdict.words == "fails: rates, opposite"


@pytest.mark.parametrize(
    ("fall", "words"),
    [(1.3, "holds"), (1.1, "fails: gradients, too small to matter"), (0.8, "fails: gradients, opposite")],
)
def test_sch1_holds_only_if_the_gradient_is_larger_early_than_late(planted, fall: float, words: str) -> None:
    found = planted([2**-6.5], [2**-4.5], fall=fall).verdict
    assert found.words == words
    assert [part.interval.estimate for part in found.parts] == pytest.approx([4, fall], rel=0.01)


def test_half_a_step_of_a_factor_of_two_is_told_apart(planted) -> None:
    assert planted([2**-6], [2**-5.5]).verdict.own.interval.estimate == pytest.approx(2**0.5, rel=0.01)


def test_networks_that_train_at_the_rate_of_the_gradients_are_counted(planted) -> None:
    found = planted([2**-9, *[2**-6] * 4], [2**-5])
    counted = found.verdict.numbers["networks that train at the rate of the gradients, without warmup"]
    assert counted == {"post-norm": "4 of 5"}
    assert any("4 of 5 networks train there" in sentence for sentence in found.sentences)


def test_the_sentences_of_sch1_warn_where_the_grid_ended(planted) -> None:
    inner = [2**-6] * 4
    warned = planted([2**-9, *inner], [*inner, 2**-4]).sentences
    assert any("without warmup no rate trains for 1 of 5 seeds" in sentence for sentence in warned)
    assert any("with warmup the largest rate tried still trains for 1 of 5 seeds" in sentence for sentence in warned)
    assert len(planted([*inner, 2**-6], [*inner, 2**-6]).sentences) == 2


def test_at_full_scale_both_placements_are_measured_and_post_norm_decides(planted) -> None:
    found = planted([2**-6], [2**-5], "full")
    assert found.verdict.interval.n == 24
    assert [panel.title for panel in found.figures[0].panels] == ["post-norm", "pre-norm"]
    assert [sentence.split()[1] for sentence in found.sentences[::2]] == ["post-norm", "pre-norm"]
    falls = found.verdict.numbers["gradient norm early / late, without warmup, 95 % interval"]
    assert {name: ends == pytest.approx([3, 3], rel=0.01) for name, ends in falls.items()} == {
        "post-norm": True,
        "pre-norm": True,
    }
