"""A run whose stacked members are wrong for some examples only ends where the plain module ends, and says so."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from late_tokens import MEMBERS, SIZE, STEPS, Counting, Late, Loud, Right, late_data
from torch import Tensor, nn

import thalweg as tw
from thalweg.population import Plan, Problem
from thalweg.population.audit_draws import Schedule
from thalweg.randomness import BatchOrder


def recipe(rule: tw.optim.Rule | None = None, **options: object) -> tw.Recipe:
    return tw.Recipe(rule or tw.optim.Momentum(0.3), steps=STEPS, batch_size=SIZE, **({"evaluate": 4} | options))


def found(train: Callable[[], tw.Run]) -> tw.Run:
    """The run, which says that it began anew."""
    with pytest.warns(UserWarning, match=r"^an audit found .* trained anew from the first step, looped\.$"):
        run = train()
    assert_said(run)
    return run


def assert_said(run: tw.Run) -> None:
    assert run.plan.mode == "looped"
    assert run.history.notes == (run.plan.reason,)
    assert "trained anew" in str(run.history)


def assert_same_bits(one: tw.Run, other: tw.Run) -> None:
    ours, theirs = one.state.tensors(), other.state.tensors()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor.nan_to_num(-1e30), theirs[name].nan_to_num(-1e30)), name
    for metric, values in one.history.metrics.items():
        assert np.array_equal(values, other.history[metric], equal_nan=True), metric


def looped(model: type[nn.Module], data: tuple[Tensor, Tensor], how: tw.Recipe, **options: object) -> tw.Run:
    return tw.train(Problem(model, data), how, MEMBERS, plan="looped", **options)


@pytest.mark.parametrize(
    ("model", "plan"),
    [
        (Late, "stacked"),
        (Late, Plan("stacked", 4)),
        (Late, Plan("stacked", 3, threads=2)),
        (Counting, "stacked"),
        (Loud, {"gradient": "stacked", "outputs": Plan("stacked", 4)}),
    ],
    ids=["gradient", "in chunks", "in threads", "buffer", "evaluation"],
)
def test_what_is_wrong_for_a_rare_token_never_reaches_the_result(
    model: type[nn.Module], plan: Plan | str | dict[str, Plan | str]
) -> None:
    data, how = late_data(), recipe(evaluate=8)
    run = found(lambda: tw.train(Problem(model, data), how, MEMBERS, plan=plan))
    assert_same_bits(run, looped(model, data, how))


@pytest.mark.parametrize(
    "rule",
    [tw.optim.AdamW(tw.sweep.values([0.01, 0.02])), tw.optim.Nesterov(0.1), tw.optim.SAM(tw.optim.SGD(0.1), 0.05)],
    ids=["sweep", "looks ahead", "ascends"],
)
def test_rules_masks_own_examples_and_snapshots(rule: tw.optim.Rule) -> None:
    data, how = late_data(), recipe(rule, snapshot=4, snapshot_state=True, clip_norm=1.0)
    mask = torch.rand(Problem(Late, data).layout.parameters, generator=torch.Generator().manual_seed(1)) < 0.7
    own = torch.stack([torch.randperm(512, generator=torch.Generator().manual_seed(i))[:300] for i in range(MEMBERS)])
    options = {"mask": mask, "examples": own}
    run = found(lambda: tw.train(Problem(Late, data), how, MEMBERS, plan=Plan("stacked", 4), **options))
    assert_same_bits(run, looped(Late, data, how, **options))


def _assert_goes_on(model: type[nn.Module], until: Sequence[int], store: Path | None) -> None:
    """In pieces, each in a problem of its own as in another process, the run is the uninterrupted one."""
    data, how = late_data(), recipe(snapshot=2)
    whole = found(lambda: tw.train(Problem(model, data), how, MEMBERS, plan="stacked"))
    run, mode = None, "stacked"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for stop in until:
            going = {"store": store} if store else {"resume": run}
            run = tw.train(Problem(model, data), how, MEMBERS, plan=mode, until=stop, **going)
    assert sum("trained anew" in str(one.message) for one in said) == 1
    assert_said(run)
    assert run.plan.reason == whole.plan.reason
    assert_same_bits(run, whole)


@pytest.mark.parametrize("until", [(5, 64), (1, 2, 40, 64), (63, 64)], ids=str)
def test_a_resumed_run_falls_back_as_the_uninterrupted_one(until: Sequence[int], tmp_path: Path) -> None:
    _assert_goes_on(Late, until, None)
    _assert_goes_on(Late, until, tmp_path)


def test_a_run_goes_on_twice_from_one_that_was_not_yet_found_out() -> None:
    data, how = late_data(), recipe()
    half = tw.train(Problem(Late, data), how, MEMBERS, plan="stacked", until=1)
    one = found(lambda: tw.train(Problem(Late, data), how, MEMBERS, resume=half))
    other = found(lambda: tw.train(Problem(Late, data), how, MEMBERS, resume=half))
    assert_same_bits(one, other)
    assert half.step == 1


def test_a_forced_plan_that_was_found_out_is_never_looped_in_silence() -> None:
    problem, how = Problem(Late, late_data()), recipe()
    half = tw.train(problem, how, MEMBERS, plan="stacked", until=1)
    first = found(lambda: tw.train(problem, how, MEMBERS, plan="stacked"))
    for plan in ("stacked", {"gradient": Plan("stacked", 4), "outputs": Plan("looped", 1)}):
        with pytest.warns(UserWarning, match=r'an audit found .*; looped, though "stacked" was asked for\.$'):
            again = tw.train(problem, how, MEMBERS, plan=plan)
        assert again.plan.mode == "looped"
        assert again.history.notes == (again.plan.reason,)
        assert again.plan.reason == f'{problem.unstacked}; looped, though "stacked" was asked for'
        assert_same_bits(again, first)
    rest = found(lambda: tw.train(problem, how, MEMBERS, resume=half))  # whose first step nobody answers for
    assert_same_bits(rest, first)


def test_arms_that_begin_in_mid_run_begin_there_again() -> None:
    data, how = late_data(), recipe(tw.optim.Adam(0.02), snapshot=(10,), snapshot_state=True)
    start = looped(Late, data, how).at(10, members=[0])
    arms = {"start": {"late": start, "fresh": None}}
    run = found(lambda: tw.train(Problem(Late, data), how, 3, plan="stacked", **arms))
    assert_same_bits(run, tw.train(Problem(Late, data), how, 3, plan="looped", **arms))


def test_members_that_diverged_are_not_audited_and_change_nothing() -> None:
    data, how = late_data(), recipe(tw.optim.SGD(tw.sweep.values([0.1, 1e30])), evaluate=2)
    run = found(lambda: tw.train(Problem(Late, data), how, 3, plan="stacked"))
    assert (run.diverged_at[3:] > 0).all()
    assert_same_bits(run, tw.train(Problem(Late, data), how, 3, plan="looped"))
    fine = tw.train(tw.Problem(lambda: tw.nets.mlp(4, 8, 3), (data[0].float(), data[1])), how, 3, plan="stacked")
    assert not fine.history.notes


class Watching:
    """An observer that keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Tensor]] = []
        self.begun = 0

    def begin(self, slots: object) -> None:
        self.begun += 1

    def forget(self, step: int) -> None:
        self.seen = [(known, theta) for known, theta in self.seen if known < step]

    def __call__(self, step: int, population: tw.Population) -> None:
        self.seen.append((step, population.theta.clone()))


@pytest.mark.parametrize("since", [0, 3])
def test_observers_see_every_step_of_the_run_that_counts(since: int) -> None:
    data, how, watching = late_data(), recipe(), Watching()
    half = tw.train(Problem(Late, data), how, MEMBERS, plan="stacked", until=since) if since else None
    found(lambda: tw.train(Problem(Late, data), how, MEMBERS, plan="stacked", resume=half, observe=watching))
    assert watching.begun == 2
    other = Watching()
    looped(Late, data, how, observe=other)
    wanted = [pair for pair in other.seen if pair[0] > since or not since]
    assert [step for step, _ in watching.seen] == [step for step, _ in wanted]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(watching.seen, wanted, strict=True))


def test_a_tracker_follows_the_run_that_counts() -> None:
    data, how = late_data(), recipe()
    tracker = tw.curvature.Tracker(Problem(Right, data), every=16, on=tw.Sample("train", 64))
    found(lambda: tw.train(Problem(Late, data), how, MEMBERS, plan="stacked", observe=tracker))
    assert tracker.reading.coordinates["step"].tolist() == [0, 16, 32, 48, 64]


def test_a_run_without_a_finding_keeps_its_bits_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, how = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits()), recipe(evaluate=3)
    run = tw.train(problem, how, MEMBERS, plan="stacked")
    monkeypatch.setattr(Schedule, "due", lambda self, step: False)
    assert_same_bits(run, tw.train(problem, how, MEMBERS, plan="stacked"))
    monkeypatch.setattr(Schedule, "due", lambda self, step: True)
    assert_same_bits(run, tw.train(problem, how, MEMBERS, plan="stacked"))
    assert run.history.notes == ()
    assert run.state.origin is None


class Numbers(nn.Linear):
    """Some inputs need a number on the way, which stacked members do not have."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        if bool((x > 5).any()):  # of the data, which members share
            out = out * (1 + 0 * out.detach().sum().item())
        return out


def test_members_that_cannot_be_stacked_later_on_are_looped_from_the_beginning() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 4, generator=draw).clamp(-3, 3), torch.randint(3, (200,), generator=draw)
    order = BatchOrder([0], 200, 20)
    x[order.indices(7)[0][:2]] = 6.0
    how = tw.Recipe(tw.optim.SGD(tw.sweep.values([0.1, 0.2])), steps=9, batch_size=20, evaluate=0)
    plans = {"gradient": "stacked", "outputs": Plan("looped", 1)}
    with pytest.warns(UserWarning, match=r"^members cannot be stacked on a batch that the plain module computes: "):
        run = tw.train(Problem(lambda: Numbers(4, 3), (x, y)), how, 1, plan=plans)
    assert_said(run)
    assert_same_bits(run, tw.train(Problem(lambda: Numbers(4, 3), (x, y)), how, 1, plan="looped"))
