"""NTK8: what it says of numbers put in by hand, and networks on which it must not hold."""

import numpy as np
import pytest
import torch

from thalweg import nets, ntk
from thalweg.data import Data, Examples
from thalweg.population import Problem
from thalweg.studies import Lab
from thalweg.studies.ntk import features
from thalweg.studies.ntk.centered import classes, infinite, right, trained, two_parity
from thalweg.studies.ntk.features import Accuracies, best_kernels, judged, measured, tables
from thalweg.studies.ntk.setting import descent, network

LAB = Lab("quick", 900, progress=None)
SEEDS = list(range(900_000, 900_006))
WIDTHS = (64, 1_024)


def planted(mup_parity=0.99, mup_digits=0.9, narrow=0.98, limit=0.0, best=0.77, coin=0.5, seeds=6):
    """Accuracies with a little noise of the seeds."""
    noise = iter(0.004 * np.random.default_rng(0).normal(size=(20, seeds)))

    def task(kernel: float, mup: tuple[float, float]) -> Accuracies:
        own = kernel + next(noise)
        nets = {
            "NTK": np.array([own + limit + next(noise) for _ in WIDTHS]),
            "muP": np.array([at + next(noise) for at in mup]),
        }
        return Accuracies(WIDTHS, own, nets)

    found = {"2-parity": task(0.73, (narrow, mup_parity)), "digits": task(0.9, (0.9, mup_digits))}
    lab = LAB.on((features.CLAIM,))
    return judged(lab, found, best + next(noise), coin + next(noise), SEEDS[:seeds])


def outcomes(finding):
    return {part.part.id: part.outcome for part in finding.verdict.parts}


def test_it_holds_of_what_it_states():
    finding = planted()
    assert finding.verdict.outcome == "holds"
    assert set(outcomes(finding).values()) == {"holds"}
    assert len(finding.sentences) == 3
    for figure in finding.figures:
        figure.to_matplotlib()


@pytest.mark.parametrize(
    ("part", "put_in"),
    [
        ("parity", {"mup_parity": 0.75}),
        ("parity, every width", {"narrow": 0.7}),
        ("best kernel", {"best": 1.0}),
        ("digits", {"mup_digits": 0.95}),
        ("limit, parity", {"limit": -0.27}),
        ("limit, digits", {"limit": -0.27}),
        ("coin", {"coin": 0.7}),
    ],
)
def test_each_part_fails_where_it_is_not_so(part, put_in):
    finding = planted(**put_in)
    assert outcomes(finding)[part] == "fails"
    assert finding.verdict.outcome == "fails"


def test_parity_is_of_two_signs_and_no_input_is_there_twice():
    task = two_parity(SEEDS[:2], 30, 40, bits=10)
    for train, test in zip(task.train, task.test, strict=True):
        rows = torch.cat([train, test])
        x = task.inputs[rows]
        assert len({tuple(one) for one in x.tolist()}) == 70
        assert torch.equal(task.targets[rows, 0], x[:, 0] * x[:, 1])
    tossed = two_parity(SEEDS[:2], 300, 300, coin=True)
    agree = (tossed.targets[:, 0] == tossed.inputs[:, 0] * tossed.inputs[:, 1]).float().mean()
    assert 0.4 < float(agree) < 0.6


def test_kernels_by_the_signs_that_differ_are_those_of_the_inputs():
    task = two_parity(SEEDS[:1], 6, 4)
    x = task.inputs[task.train[0]]
    apart = ((20 - x @ x.T) / 2).round().long()
    relu = ntk.over_depth(x, weight_std=2**0.5, bias_std=0.1, depths=[1, 2, 3])
    rows = tables().reshape(3, 2, 3, 3, 21)  # activations, NNGP and NTK, depths, biases, distances
    torch.testing.assert_close(rows[0, 1, :, 1][:, apart], relu.ntk)
    torch.testing.assert_close(rows[0, 0, :, 1][:, apart], relu.nngp)


def test_features_do_not_help_where_a_coin_was_tossed(monkeypatch):
    monkeypatch.setattr(features, "STEPS", 60)
    tossed = two_parity(SEEDS[:4], 100, 300, coin=True)
    found = {"2-parity": measured(LAB, tossed, (8, 64)), "digits": measured(LAB, classes(SEEDS[:4], 40, 100), (8, 64))}
    finding = judged(LAB.on((features.CLAIM,)), found, best_kernels(tossed), np.full(4, 0.5), SEEDS[:4])
    said = outcomes(finding)
    assert said["parity"] != "holds"
    assert said["best kernel"] != "holds"  # the best of hundreds on the test examples is above chance


def test_a_wide_net_in_ntk_parameterization_is_its_kernel_and_starts_at_nothing():
    task = classes(SEEDS[:3], 30, 200)
    kernel, rate = infinite(task, 20)
    found = trained(LAB, task, 2_048, "NTK", rate, 20)
    run = found.run
    assert np.abs(found.accuracy - kernel).max() < 0.04
    start = (task.targets[task.train] ** 2).mean((1, 2)).numpy()
    np.testing.assert_allclose(run.history.batch_loss[0], start, rtol=1e-4)  # the loss of an output of 0
    kernels, cross = task.kernels()
    path = ntk.gradient_descent(kernels, cross, task.targets[task.train], lr=rate, steps=20)
    ratio = run.history.final("train_loss") / run.history.batch_loss[0]
    np.testing.assert_allclose(ratio, path["loss"][:, 0] / (30 * 10 * start / 2), rtol=0.1)


def test_steps_are_counted_to_the_first_that_is_low_enough():
    task = classes(SEEDS[:2], 20, 20)
    _, rate = infinite(task, 10)
    found = trained(LAB, task, 64, "NTK", rate, 200)
    steps = found.steps_to(0.3)
    loss = found.run.history.batch_loss
    for member, step in enumerate(steps.astype(int)):
        assert loss[step, member] <= 0.3 * loss[0, member] < loss[step - 1, member]
    assert np.isinf(found.steps_to(1e-12)).all()


@pytest.mark.parametrize(("parameterization", "power"), [("NTK", 0.5), ("muP", 1.0)])
def test_nets_are_those_that_are_centered_by_their_modules(parameterization, power):
    task = classes(SEEDS[:2], 20, 30)
    found = trained(LAB, task, 16, parameterization, 1e-3, 30)
    both = Examples(task.inputs, task.targets)
    build = lambda: nets.centered(network((64, 16, 10), "relu", power))  # noqa: E731
    problem = Problem(build, Data(both, both), "squared_error", metrics={"right": right})
    recipe = descent(1e-3 * 16 ** (2 * power - 1), 30, 20, 10)
    run = LAB.train(problem, recipe, task.seeds, examples=task.train, test_examples=task.test)
    np.testing.assert_allclose(found.run.history.batch_loss, run.history.batch_loss, rtol=1e-4)
    torch.testing.assert_close(found.run.final.theta, run.final.theta, rtol=1e-4, atol=1e-5)
    assert found.accuracy.tolist() == run.history.final("test_right").tolist()
