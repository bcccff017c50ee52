"""Claims on what Adam does to a step, where they are false: none may hold there."""

import pytest
import torch

from thalweg.optim import Adam, AdamW
from thalweg.randomness import generator
from thalweg.studies.lab import SCALES, Lab
from thalweg.studies.optimizers import adaptive, bias_correction, decay

LABS = [Lab(seed=seed) for seed in (0, 1, 2)]


def verdicts(experiment):
    return [finding.verdict for lab in LABS for finding in experiment(lab)]


@pytest.fixture
def short(monkeypatch):
    """As few steps as the claims are about."""
    monkeypatch.setattr(adaptive, "STEPS", dict.fromkeys(SCALES, adaptive.CLAIM.budget["steps"]))
    monkeypatch.setattr(decay, "STEPS", dict.fromkeys(SCALES, decay.CLAIM.budget["steps"]))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("experiment", [adaptive.experiment, bias_correction.experiment, decay.experiment])
def test_the_claims_hold_of_the_rules_they_are_about(experiment):
    """In these short runs, too: otherwise it would say nothing that they do not hold below."""
    assert all(verdict.outcome == "holds" for verdict in verdicts(experiment))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("shared", [True, False])
def test_opt4_does_not_hold_of_rates_that_know_no_gradient(monkeypatch, shared):
    """Every tensor gets a rate drawn at random: the same in all seeds, or another in each."""
    stream = generator(0, "rates")

    def by_tensor(layout, values, *, median):
        if not median:  # the gradients, as they are
            return whole(layout, values, median=False)
        drawn = torch.rand(1 if shared else len(values), len(layout.entries), generator=stream)
        return drawn.expand(len(values), -1).numpy()

    whole = adaptive.by_tensor
    monkeypatch.setattr(adaptive, "by_tensor", by_tensor)
    assert all(verdict.outcome != "holds" for verdict in verdicts(adaptive.experiment))


@pytest.mark.usefixtures("short")
def test_opt4_does_not_hold_of_rates_that_grow_with_the_gradient(monkeypatch):
    rates = adaptive.effective_rates
    monkeypatch.setattr(adaptive, "effective_rates", lambda run: 1 / rates(run))
    assert all(verdict.outcome == "fails" for verdict in verdicts(adaptive.experiment))


@pytest.mark.parametrize("corrected", [True, False])
def test_opt5_does_not_hold_of_one_rule_under_both_names(monkeypatch, corrected):
    rule = Adam(1e-3, bias_correction=corrected)
    monkeypatch.setattr(bias_correction, "ARMS", {"with correction": rule, "without correction": rule})
    for verdict in verdicts(bias_correction.experiment):
        assert verdict.outcome != "holds"  # 1 in every seed: values that agree have no interval
        assert verdict.interval.estimate == 1


def test_opt5_does_not_hold_of_another_second_beta(monkeypatch):
    rule = Adam(1e-3, beta2=0.99, bias_correction=False)  # sqrt(1 - beta2) is sqrt(10) times as large
    monkeypatch.setitem(bias_correction.ARMS, "without correction", rule)
    assert all(verdict.outcome == "fails" for verdict in verdicts(bias_correction.experiment))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("name", "rule", "part", "slope"),
    [
        # decay that is not coupled under the name of one that is, and the other way round
        ("Adam + L2", AdamW(1e-3, weight_decay=0.1), "L2", 0.0),
        ("AdamW, lr-coupled", Adam(1e-3, weight_decay=1e-3), "decoupled", -1.0),
    ],
)
def test_opt6_does_not_hold_where_both_decays_are_of_one_kind(monkeypatch, name, rule, part, slope):
    monkeypatch.setitem(decay.RULES, name, rule)
    for verdict in verdicts(decay.experiment):
        assert (verdict.outcome, verdict.own.part.id) == ("fails", part)
        assert verdict.interval.estimate == pytest.approx(slope, abs=0.1)
