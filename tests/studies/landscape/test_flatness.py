"""Sharpness and test error: exact invariances, what is trained on, and sentences."""

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
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 12, 10), flatness.digits_of(Lab()))


def test_rescaling_layers_leaves_functions_and_moves_sharpness(problem: tw.Problem) -> None:
    population = problem.initialize([0, 1, 2, 3])
    before = population.theta.clone()
    factors = flatness.scales(0, np.arange(4))
    assert torch.equal(flatness.scales(0, np.array([1, 3])), factors[[1, 3]])  # whoever else is there
    assert factors.min() > 0.1
    assert factors.max() < 10
    changed = tw.population.layers_rescaled(problem, population, factors)
    assert torch.equal(population.theta, before)
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


def test_train_and_test_share_no_digit_and_labels_of_the_few_alone_are_flipped() -> None:
    few = flatness.digits_of(Lab(seed=3))
    whole = tw.data.digits()
    labels = {
        tuple(x.tolist()): int(y)
        for part in (whole.train, whole.test)
        for x, y in zip(part.inputs, part.targets, strict=True)
    }
    assert len(few.train) == flatness.EXAMPLES
    assert len(few.train) + len(few.test) == len(whole.train) + len(whole.test)
    seen, unseen = ({tuple(x.tolist()) for x in rows.inputs} for rows in (few.train, few.test))
    assert not seen & unseen
    flipped = [labels[tuple(x.tolist())] != int(y) for x, y in zip(few.train.inputs, few.train.targets, strict=True)]
    assert sum(flipped) == round(flatness.NOISE * flatness.EXAMPLES)
    assert all(labels[tuple(x.tolist())] == int(y) for x, y in zip(few.test.inputs, few.test.targets, strict=True))
    assert not torch.equal(few.train.inputs, flatness.digits_of(Lab(seed=4)).train.inputs)


def test_every_measure_is_one_positive_number_a_member(problem: tw.Problem) -> None:
    found = flatness.measures(problem, problem.initialize([0, 1, 2]), 0)
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
