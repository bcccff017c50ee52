"""NTK11: kernels on one-hot pairs against their closed form, and tables on which it must not hold."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from thalweg import data, ntk
from thalweg.data import Examples
from thalweg.studies import Lab
from thalweg.studies.grokking.setting import LARGE, Setting, trained
from thalweg.studies.ntk import addition
from thalweg.studies.ntk.image_kernels import fully_connected, limit
from thalweg.studies.ntk.tables import Best, P, Split, best, explained, of_frequencies, of_nets, pooled, sums

SMALL, SEEDS = 11, list(range(500, 506))
LAB = Lab("full", 500, progress=None).on((addition.CLAIM,))


def test_such_a_kernel_counts_the_symbols_that_agree() -> None:
    pairs = torch.cat([torch.eye(5).repeat_interleave(5, 0), torch.eye(5).repeat(5, 1)], 1)
    found, whole = of_nets((2,), 5), limit(fully_connected(10, 2)).kernels(pairs)
    for one, name in ((whole.nngp, "NNGP, depth 2"), (whole.ntk, "NTK, depth 2")):
        assert torch.allclose(found[name], one, rtol=1e-5, atol=0)
        assert len(found[name].round(decimals=7).unique()) == 3


def test_its_predictor_is_additive() -> None:
    """Ridge regression on one-hot pairs and a constant, whose ridges follow from the kernel's three values."""
    kernel, split = of_nets((1,), SMALL)["NTK, depth 1"], Split.of(500, 0.6, SMALL)
    both, one, none = (float(kernel[0, cell]) for cell in (0, 1, SMALL + 1))
    targets = ntk.one_hot((sums(SMALL) % SMALL)[split.train], SMALL)
    outputs = ntk.regression(kernel[split.train][:, split.train], kernel[split.test][:, split.train], targets)["test"][
        0
    ]
    units = torch.eye(SMALL, dtype=torch.float64)
    pairs = torch.cat([units.repeat_interleave(SMALL, 0), units.repeat(SMALL, 1)], 1) * (one - none) ** 0.5
    features = torch.cat([pairs, torch.full((SMALL**2, 1), none**0.5, dtype=torch.float64)], 1)
    x, y = features[split.train], features[split.test]
    ridge = (both - 2 * one + none) * torch.eye(x.shape[1], dtype=torch.float64)
    np.testing.assert_allclose(outputs, (y @ torch.linalg.solve(x.T @ x + ridge, x.T @ targets)).numpy(), atol=1e-5)
    whole = np.full((SMALL**2, SMALL), np.nan)
    whole[split.test] = outputs
    grid = whole.reshape(SMALL, SMALL, SMALL)
    mixed = grid[:-1, :-1] - grid[1:, :-1] - grid[:-1, 1:] + grid[1:, 1:]
    known = np.isfinite(mixed)
    assert known.sum() > SMALL
    assert np.abs(mixed[known]).max() < 1e-4 * np.nanmax(np.abs(grid))


def test_splits_are_those_of_the_trained_nets() -> None:
    split, test = Split.of(500, LARGE.fraction), data.modular(P, train_fraction=LARGE.fraction, seed=500).test
    assert isinstance(test, Examples)
    assert isinstance(test.targets, torch.Tensor)
    assert torch.equal(torch.cat([split.train, split.test]).sort().values, torch.arange(P * P))
    assert torch.equal((sums() % P)[split.test], test.targets)


def test_kernels_fail_at_the_task_and_not_at_sums_and_other_features_solve_it() -> None:
    kernels, split = of_nets((1, 2), SMALL), Split.of(500, 0.6, SMALL)
    chosen = best(kernels, split, SMALL)
    assert chosen.tried == 12
    assert chosen.right.mean() <= 1 / SMALL
    assert explained({"NTK": kernels["NTK, depth 1"]}, split, SMALL) > 0.95
    assert best(of_frequencies(SMALL), split, SMALL).right.all()


def test_the_best_is_chosen_on_the_test_cells() -> None:
    split = Split.of(500, 0.6, SMALL)
    chosen = best(of_nets((1,), SMALL) | of_frequencies(SMALL), split, SMALL)
    assert chosen.name.startswith("Fourier features")


def test_the_interval_is_wilsons() -> None:
    found = pooled([np.array([True, False]), np.array([False, False])])
    z, n, share = 1.959963985, 4, 0.25
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    assert (found.low, found.high) == pytest.approx((middle - reach, middle + reach))
    assert pooled([np.zeros(1741, bool)]).high == binomtest(0, 1741).proportion_ci(method="wilson").high


def test_what_a_net_is_right_on_is_its_accuracy() -> None:
    runs = trained(Lab("quick", 500, progress=None), Setting(23, 0.8, 1e-2, 0.8, 240), [500, 501])
    found = addition.right(runs)
    np.testing.assert_allclose([one.mean() for one in found], runs.times["test"][-1], atol=1e-6)
    assert 0.1 < np.concatenate(found).mean() < 0.95


def tables(kernel: float, net: float, seeds: int = 6) -> addition.Tables:
    """Of kernels and nets that are right on such shares."""
    splits = [Split.of(500 + seed, 0.5) for seed in range(seeds)]
    draw = np.random.default_rng(0)
    rows = [[draw.random(len(split.test)) < share for split in splits] for share in (kernel, net)]
    kernels = [Best("planted", right, 18) for right in rows[0]]
    return addition.Tables(splits, kernels, rows[1], (splits[0], kernels[0]), 0.99, kernels[0])


@pytest.mark.parametrize(
    ("kernel", "net", "outcome"),
    [
        (0.001, 0.99, "holds"),
        (0.05, 0.99, "fails"),
        (0.99, 0.99, "fails"),
        (0.001, 0.9, "fails"),
        (0.001, 0.01, "fails"),
    ],
)
def test_planted_shares_are_judged(kernel: float, net: float, outcome: str) -> None:
    finding = addition.judged(LAB, tables(kernel, net), SEEDS)
    assert finding.verdict.outcome == outcome
    assert len(finding.figures[0].panels) == 3


def test_without_nets_it_is_undecided() -> None:
    found = tables(0.001, 0.99, 1)
    quick = addition.Tables(found.splits, found.kernels, [], None, found.sums, found.frequencies)
    verdict = addition.judged(Lab("quick", 500).on((addition.CLAIM,)), quick, [500]).verdict
    assert verdict.words == "undecided: 0 of 6 trained nets"
    assert {part.part.id: part.outcome for part in verdict.parts} == {
        "kernel": "holds",
        "net": "undecided",
        "lead": "undecided",
    }
