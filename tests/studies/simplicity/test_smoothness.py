"""Planted nulls of SIM4: starts and labels that make no difference, and networks that do not come to the loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from thalweg.evaluation import evaluate
from thalweg.generalization.simplicity import input_jacobian
from thalweg.population import Problem
from thalweg.studies import Lab
from thalweg.studies.simplicity import labels_and_starts, smoothness
from thalweg.studies.simplicity.labels_and_starts import (
    MEMORIZED,
    PREFERENCE,
    RANDOM,
    RELABELLED,
    STANDARD,
    TASK,
    TRUE,
    Arm,
    Compared,
    Given,
)
from thalweg.training import Run

LAB = Lab("quick", 500, progress=None)
SETTING = labels_and_starts.Setting("digits", (64, 32, 10), 300)
RULES = {part.id: part.rule for part in smoothness.CLAIM.parts}


def arm(norm: float, draw: np.random.Generator, *, missing: int = 0) -> Arm:
    """Norms of five seeds that vary by a twentieth; the first few did not come to the loss."""
    values = norm * np.exp(0.05 * draw.normal(size=5))
    values[:missing] = np.nan
    return Arm(0.01, values * 0 + 0.01, values, values * 0 + 5, values * 0 + 4, np.ones((2, 3)))


def outcomes(
    random: float = 100, memorized: float = 60, *, missing: int = 0
) -> tuple[dict[str, str], dict[str, Arm], dict[str, Arm]]:
    """Of networks with these norms, where those on true labels from the standard start have 30."""
    draw = np.random.default_rng(0)
    task = {TRUE: arm(30, draw), RANDOM: arm(random, draw, missing=missing)}
    starts = {STANDARD: arm(30, draw), MEMORIZED: arm(memorized, draw)}
    found = smoothness.judged(Compared(task, starts), None)
    return {name: RULES[name].judge(one.low, one.high) for name, one in found.items()}, task, starts


def test_smoother_than_on_random_labels_is_not_smoother_than_from_another_start() -> None:
    both, _, _ = outcomes()
    assert both[TASK] == both[PREFERENCE] == "holds"
    alone, task, starts = outcomes(memorized=30)
    assert alone[TASK] == "holds"
    assert alone[PREFERENCE] == "fails"
    verdict = smoothness.CLAIM.judge(
        parts=smoothness.judged(Compared(task, starts), None), lecture=Compared(task, starts).ratios[TASK]
    )
    assert verdict.outcome == "fails"
    assert verdict.lecture is not None
    assert verdict.lecture.outcome == "holds"


def test_one_network_that_does_not_come_to_the_loss_leaves_it_undecided() -> None:
    late, task, starts = outcomes(missing=1)
    assert late[TASK] == "undecided"
    assert late[PREFERENCE] == "holds"
    assert "1 of 10 networks did not come to a loss of 0.01" in Compared(task, starts).ratios[TASK].method
    assert not Compared(task, {STANDARD: starts[STANDARD]}).ratios[PREFERENCE].known


@pytest.fixture(scope="module")
def relabelled() -> tuple[Given, Problem, Run]:
    """Small networks on true labels and with the classes permuted: two tasks that are the same."""
    of = labels_and_starts.given(SETTING, [0, 1, 2], (TRUE, RELABELLED))
    how = labels_and_starts.recipe(3e-3, 150)
    return of, *labels_and_starts.trained(LAB, SETTING, of, (TRUE, RELABELLED), how, {})


def test_classes_in_another_order_are_no_other_task(relabelled: tuple[Given, Problem, Run]) -> None:
    of, problem, run = relabelled
    arms = labels_and_starts.read(problem, run, (TRUE, RELABELLED), of, 0.5)
    found = labels_and_starts.ratio(arms[RELABELLED], arms[TRUE])
    assert RULES[TASK].judge(found.low, found.high) != "holds"
    assert 0.9 < found.estimate < 1.1
    assert not labels_and_starts.ratio(arms[TRUE], None).known
    never = labels_and_starts.read(problem, run, (TRUE, RELABELLED), of, 1e-9)
    assert np.isnan(never[TRUE].norm).all()


def test_each_network_is_read_where_it_first_comes_to_the_loss(relabelled: tuple[Given, Problem, Run]) -> None:
    of, problem, run = relabelled
    arms = labels_and_starts.read(problem, run, (TRUE, RELABELLED), of, 0.5)
    member = 4  # the second seed with its classes permuted
    row = int((run.history["train_loss"][:, member] <= 0.5).argmax())
    network = run.snapshots[int(run.history.steps[row])][[member]]
    direct = input_jacobian(problem, network, on=of.looked_at[1])
    assert arms[RELABELLED].norm[1] == pytest.approx(direct["norm"][0])
    assert arms[RELABELLED].loss[1] == run.history["train_loss"][row, member] <= 0.5
    assert arms[RELABELLED].margin[1] > 0
    held = evaluate(problem, network, of.whole.select(of.tested[1]))
    assert arms[RELABELLED].error[1] == pytest.approx(100 * (1 - float(held["accuracy"])))


def test_bad_starts_are_the_first_without_training_error(relabelled: tuple[Given, Problem, Run]) -> None:
    _, _, run = relabelled
    accuracy = run.history["train_accuracy"]
    level = np.sort(accuracy[:, 0])[-3]  # reached by the first member
    history = replace(run.history, metrics={"train_accuracy": np.where(accuracy >= level, 1.0, accuracy)})
    found = labels_and_starts.memorizing(replace(run, history=history), [0])
    assert found is not None
    first = int(run.history.steps[(accuracy[:, 0] >= level).argmax()])
    assert torch.equal(found.theta[0], run.snapshots[first].theta[0])
    none = replace(run.history, metrics={"train_accuracy": accuracy * 0.9})
    assert labels_and_starts.memorizing(replace(run, history=none), [0, 1]) is None


def test_labels_are_of_the_same_inputs() -> None:
    of = labels_and_starts.given(SETTING, [3], (TRUE, RANDOM, RELABELLED))
    (true,), (random,), (permuted,) = (of.sets[name] for name in (TRUE, RANDOM, RELABELLED))
    assert torch.equal(true.inputs, random.inputs)
    assert torch.equal(true.inputs, permuted.inputs)
    assert abs(float((true.targets == random.targets).float().mean()) - 0.1) < 0.05
    pairs = set(zip(true.targets.tolist(), permuted.targets.tolist(), strict=True))
    assert len(pairs) == len({new for _, new in pairs}) == 10
