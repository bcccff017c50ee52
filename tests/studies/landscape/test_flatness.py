"""Sharpness and test error: the parts of the experiment against loops by hand, planted orders and exact invariances."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg import curvature, spectra
from thalweg.statistics.interval import Interval
from thalweg.studies.lab import Lab
from thalweg.studies.landscape import flatness


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 12, 10), flatness.parts(Lab())[0])


def test_the_first_snapshot_at_or_below_a_level_is_that_of_a_loop() -> None:
    losses = np.random.default_rng(0).normal(1, 0.3, (30, 20)) * np.linspace(2, 0.5, 30)[:, None]
    losses[10:, 3] = np.nan  # diverged
    losses[:, 4] = 5.0  # never comes down
    losses[7, 5] = 0.25  # exactly at the level
    wanted = []
    for member in range(losses.shape[1]):
        at = [row for row in range(len(losses)) if losses[row, member] <= 0.25]
        wanted.append(at[0] if at else -1)
    assert flatness.first_at_or_below(losses, 0.25).tolist() == wanted
    assert wanted[4] == -1
    assert len(set(wanted)) > 3


def test_members_are_taken_at_their_own_snapshots(problem: tw.Problem) -> None:
    rates = tw.sweep.values([0.1, 0.2])
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(rates), 6, 16, evaluate=0, snapshot=(0, 2, 5)), seeds=[0, 1])
    rows, members = np.array([2, 0, 1]), np.array([3, 1, 2])
    found = flatness.at_rows(run, rows, members)
    for place, (row, member) in enumerate(zip(rows, members, strict=True)):
        assert torch.equal(found.theta[place], run.snapshots[[0, 2, 5][row]].theta[member])
    assert not torch.equal(found.theta[0], run.final.theta[3])


def test_tau_of_planted_orders() -> None:
    error = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, np.nan], [3.0, 3.0, 3.0, np.nan]])
    measure = np.array([[10.0, 30.0, np.nan, 1.0], [20.0, 20.0, 4.0, 2.0], [30.0, 10.0, 5.0, 3.0]])
    assert flatness.taus(measure, error)[:3].tolist() == [1.0, -1.0, 1.0]
    assert np.isnan(flatness.taus(measure, error)[3])  # one cell has no order
    third = flatness.taus(np.array([[1.0], [3.0], [2.0]]), np.array([[1.0], [2.0], [3.0]]))
    assert third == pytest.approx([1 / 3])


def test_granulated_tau_tells_the_two_axes_apart() -> None:
    rate, batch = np.arange(4.0)[None, :, None], np.arange(3.0)[:, None, None]
    error = 10 * rate - batch + np.zeros((3, 4, 2))
    measure = rate + 10 * batch + np.zeros_like(error)
    found = flatness.granulated(measure, error)
    assert found == {"rates at one batch size": pytest.approx(1), "batch sizes at one rate": pytest.approx(-1)}
    measure[:, 0], error[0, 1] = np.nan, np.nan  # a rate without any network has no order over batch sizes
    assert flatness.granulated(measure, error) == found


def test_rescaling_layers_leaves_functions_and_moves_sharpness(problem: tw.Problem) -> None:
    population = problem.initialize([0, 1, 2, 3])
    before = population.theta.clone()
    changed = flatness.layers_rescaled(population, 0)
    assert torch.equal(population.theta, before)
    some = flatness.layers_rescaled(population[[1, 3]], 0, [1, 3])  # the same numbers, whoever else is there
    assert torch.equal(some.theta, changed.theta[[1, 3]])
    x = torch.as_tensor(problem.data.train.inputs)
    outputs = [torch.stack([one.module(member)(x) for member in range(4)]) for one in (population, changed)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)
    sharp = [spectra.top_eigenvalues(curvature.hessian(problem, one), 1).values[:, 0] for one in (population, changed)]
    factors = sharp[1] / sharp[0]
    assert factors.max() > 5
    assert factors.max() / factors.min() > 2  # each member by a factor of its own
    for measure in (
        lambda one: curvature.worst_case_sharpness(problem, one, radius=0.5, adaptive=True)["sharpness"],
        lambda one: curvature.average_case_sharpness(problem, one, radius=3.0, adaptive=True)["sharpness"],
        lambda one: curvature.fisher_rao_norm(problem, one)["squared norm"],
    ):
        np.testing.assert_allclose(measure(changed), measure(population), rtol=1e-2)


def test_parts_share_no_digit_and_flip_labels_of_the_few_alone() -> None:
    few, others = flatness.parts(Lab(seed=3))
    whole = tw.data.digits()
    labels = {
        tuple(x.tolist()): int(y)
        for part in (whole.train, whole.test)
        for x, y in zip(part.inputs, part.targets, strict=True)
    }
    assert len(few.train) == flatness.EXAMPLES
    assert len(few.train) + len(others) == len(whole.train) + len(whole.test)
    seen, unseen = ({tuple(x.tolist()) for x in rows.inputs} for rows in (few.train, others))
    assert not seen & unseen
    flipped = [labels[tuple(x.tolist())] != int(y) for x, y in zip(few.train.inputs, few.train.targets, strict=True)]
    assert sum(flipped) == round(flatness.NOISE * flatness.EXAMPLES)
    assert all(labels[tuple(x.tolist())] == int(y) for x, y in zip(others.inputs, others.targets, strict=True))
    assert not torch.equal(few.train.inputs, flatness.parts(Lab(seed=4))[0].train.inputs)


def test_every_measure_is_one_positive_number_a_member(problem: tw.Problem) -> None:
    population = problem.initialize([0, 1, 2])
    found = {name: measure(problem, population, 0) for name, measure in flatness.MEASURES.items()}
    assert flatness.PRIMARY in found
    for values in found.values():
        assert values.shape == (3,)
        assert (values > 0).all()


def test_sentences_follow_the_intervals() -> None:
    kinds = {
        "a": Interval(0.5, 0.1, 0.9, 5, ""),
        "b": Interval(-0.5, -0.9, -0.1, 5, ""),
        "c": Interval(0, -1, 1, 5, ""),
    }
    assert list(flatness.signs(kinds)) == [
        "Sharper networks err more by a (tau 0.50 [0.10, 0.90]).",
        "Sharper networks err less by b (tau -0.50 [-0.90, -0.10]).",
        "It is not clear by c (tau 0.00 [-1.00, 1.00]).",
    ]
    factors = {"a": np.array([1.0, 1.01, np.nan]), "b": np.array([1.0, 1.5])}
    assert flatness.unmoved(factors) == "It leaves a within 2% of what it was."
    assert flatness.unmoved({"b": factors["b"]}) == "It leaves no measure within 2% of what it was."
