"""A batch in which every target is ignored changes nothing, and that is said."""

import math
import warnings

import numpy as np
import pytest
import torch
from losses.weighted_cases import IGNORED, WEIGHTED, small
from torch import Tensor, nn

import thalweg as tw
from thalweg.population import Batch, Execution, Problem

PLANS = ("stacked", "looped")
over_plans = pytest.mark.parametrize("plan", PLANS)
X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3
Y[10:] = IGNORED  # of four batches of ten an epoch, some count nothing, others by member


def problem(loss=None, **options) -> Problem:
    return Problem(small, (X, Y), loss or tw.losses.CrossEntropy(ignore_index=IGNORED), dtype=torch.float64, **options)


def _by_function(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return nn.functional.cross_entropy(output, target.clamp_min(0), reduction="none"), target != IGNORED


@over_plans
@pytest.mark.parametrize("loss", [None, _by_function])
def test_its_gradient_is_zero_and_its_loss_nan_for_each_member_alone(plan: str, loss) -> None:
    p = problem(loss)
    members = p.initialize(2)
    rows = torch.tensor([[0, 1, 20], [20, 21, 22]])
    batch, out = Batch.of(p.data.train, rows), torch.full_like(members.theta, math.nan)
    losses = Execution(p, members, batch, plan=plan).gradient(batch, out)
    assert losses.isnan().tolist() == [False, True]
    assert (out[1] == 0).all()
    alone = torch.func.grad(
        lambda theta: nn.functional.cross_entropy(
            torch.func.functional_call(members.module(0), p.layout.views(theta), (X[rows[0]].double(),)), Y[rows[0]]
        )
    )(members.theta[0])
    torch.testing.assert_close(out[0], alone, rtol=1e-12, atol=1e-14)


@over_plans
@pytest.mark.parametrize("loss", [None, _by_function])
def test_training_goes_on_and_says_so_once(plan: str, loss) -> None:
    recipe = tw.Recipe(tw.optim.SGD(0.5), steps=12, batch_size=4)
    with pytest.warns(
        UserWarning, match=r"counts no target in the batch of step \d+ of member [\d, ]+: its gradi"
    ) as w:
        run = tw.train(problem(loss), recipe, seeds=3, plan=plan)
    assert len(w) == 1
    assert (run.diverged_at == -1).all()
    nothing = np.isnan(run.history.batch_loss)
    assert nothing.any()
    assert not nothing.all(1).all()
    assert np.isfinite(run.history["train_loss"]).all()
    for member in range(3):  # where a batch counts nothing, SGD stands still
        still = run.history["train_loss"][1:, member] == run.history["train_loss"][:-1, member]
        assert (still == nothing[:, member]).all()


@pytest.mark.parametrize("name", sorted(tw.optim.RULES))
@pytest.mark.filterwarnings("ignore:The loss counts no target")
def test_every_rule_takes_a_first_gradient_of_zero(name: str) -> None:
    seeds = [seed for seed in range(40) if _first_counts_nothing(seed)][:2]
    run = tw.train(problem(), tw.Recipe(tw.optim.RULES[name](1e-3), steps=6, batch_size=4), seeds, plan="stacked")
    assert np.isnan(run.history.batch_loss[0]).all()
    assert (run.diverged_at == -1).all()
    assert run.final.theta.isfinite().all()


@pytest.mark.filterwarnings("ignore:The loss counts no target")
def test_sam_and_clipping_do_too() -> None:
    seeds = [seed for seed in range(40) if _first_counts_nothing(seed)][:2]
    recipe = tw.Recipe(tw.optim.SAM(tw.optim.SGD(0.1)), steps=6, batch_size=4, clip_norm=0.5)
    run = tw.train(problem(), recipe, seeds)
    assert (run.diverged_at == -1).all()
    assert run.final.theta.isfinite().all()


def _first_counts_nothing(seed: int) -> bool:
    return bool((Y[tw.randomness.BatchOrder([seed], 40, 4).indices(0)[0]] == IGNORED).all())


def test_members_that_diverge_are_still_found() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rates = tw.sweep.values([0.1, 1e200])
        linear = Problem(lambda: nn.Linear(3, 3), (X, Y), tw.losses.CrossEntropy(ignore_index=IGNORED))
        run = tw.train(linear, tw.Recipe(tw.optim.SGD(rates), steps=12, batch_size=4))
    assert run.diverged_at[0] == -1
    assert run.diverged_at[1] > 0


def test_a_member_whose_batches_all_count_nothing_keeps_its_start() -> None:
    p = Problem(small, (X, Y), tw.losses.CrossEntropy([0.0, 0.0, 1.0], IGNORED), dtype=torch.float64)
    start = p.initialize(1)
    batch, out = Batch.range(p.data.train, 0, 2), torch.empty_like(start.theta)  # classes 0 and 1 weigh nothing
    assert Execution(p, start, batch).gradient(batch, out).isnan().all()
    assert (out == 0).all()


def test_the_range_test_passes_over_them() -> None:
    p = WEIGHTED["ignored"].problem()
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=30, batch_size=2)
    with pytest.warns(UserWarning, match="counts no target"):
        found = tw.tuning.classic_range_test(p, recipe, low=1e-3, high=1.0, seeds=2)
    assert np.isfinite(found["batch loss"][5:]).all()
