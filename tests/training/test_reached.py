"""Members where they first came to a level, against a loop over their histories and snapshots."""

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError

KEPT = tuple(range(0, 31, 3))


def _run(evaluate=KEPT, snapshot=KEPT, lr=(1e-4, 0.02, 0.1, 0.5)) -> tw.Run:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))

    problem = tw.Problem(model, tw.data.digits().subset(train=200, test=50))
    recipe = tw.Recipe(tw.optim.SGD(tw.sweep.values(lr)), KEPT[-1], 50, evaluate=evaluate, snapshot=snapshot)
    return tw.train(problem, recipe, seeds=[0, 1])


def test_each_member_is_at_its_first_snapshot_at_or_below_the_level() -> None:
    run = _run()
    losses = run.history["train_loss"]
    level = float(losses[4, 4])  # exactly that of one member at one step
    wanted = {}
    for member in range(losses.shape[1]):
        at = [row for row in range(len(losses)) if losses[row, member] <= level]
        if at:
            wanted[member] = at[0]
    assert 0 < len(wanted) < 8
    assert len(set(wanted.values())) > 1
    assert wanted[4] <= 4
    reached = run.at_first("train_loss", level)
    assert reached.members.tolist() == list(wanted)
    assert reached.steps.tolist() == [KEPT[row] for row in wanted.values()]
    everyone = reached.among_all(reached.values)
    assert everyone[reached.members].tolist() == reached.values.tolist()
    assert np.isnan(np.delete(everyone, reached.members)).all()
    assert len(everyone) == 8
    for place, (member, row) in enumerate(wanted.items()):
        there = run.snapshots[KEPT[row]][member]
        assert reached.values[place] == losses[row, member]
        assert torch.equal(reached.population.theta[place], there.theta[0])
        for name, buffer in there.buffers.items():  # running statistics of that step, not of the last
            assert torch.equal(reached.population.buffers[name][place], buffer[0])


def test_steps_that_are_not_kept_do_not_count() -> None:
    run = _run(snapshot=KEPT[::5])
    reached = run.at_first("train_loss", 1.5)
    assert set(reached.steps.tolist()) <= set(KEPT[::5])
    later = _run().at_first("train_loss", 1.5)
    assert (reached.steps >= later.steps[np.isin(later.members, reached.members)]).all()


def test_what_is_not_reached_is_said() -> None:
    run = _run()
    with pytest.raises(UsageError, match="No member comes to a train_loss of 0; the lowest is"):
        run.at_first("train_loss", 0.0)
    with pytest.raises(UsageError, match="snapshots of evaluated steps"):
        _run(snapshot=0).at_first("train_loss", 1.0)
