import os
import threading

import pytest
import torch
from cases import CASE, DETERMINISTIC, Case, X, Y, every_with
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, Execution, Plan, Problem, choose, execution, threads
from thalweg.population.threads import Team, one_thread

MEMBERS = 5
PLANS = {"looped": Plan("looped", 1), "stacked": Plan("stacked", 2)}


def _threaded(plan: Plan, count: int = 2) -> Plan:
    return Plan(plan.mode, plan.chunk, threads=count)


def _shared_batch(problem: Problem) -> Batch:
    return Batch.range(problem.data.train, 0, 7)


@every_with(DETERMINISTIC, PLANS)
def test_threads_change_no_bit(case: Case, plan: Plan) -> None:
    problem, found = case.problem(), []
    for how in (plan, _threaded(plan), _threaded(plan, 3)):
        population = problem.initialize(MEMBERS).copy()
        out, batch = torch.empty_like(population.theta), _shared_batch(problem)
        losses = Execution(problem, population, batch, plan=how).gradient(batch, out)
        outputs = Execution(problem, population, batch, plan=how, training=False).outputs(batch)
        parts = [leaf for _, part in outputs for leaf in tree_leaves(part)]
        found.append([losses, out, *population.buffers.values(), *parts])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_run_in_threads_is_that_without_them() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    recipe = tw.Recipe(tw.optim.AdamW(1e-2), steps=6, batch_size=32)
    alone = tw.train(problem, recipe, 3, plan=Plan("looped", 1))
    threaded = tw.train(problem, recipe, 3, plan=Plan("looped", 1, threads=2))
    assert threaded.plan.threads == 2
    assert torch.equal(alone.final.theta, threaded.final.theta)
    assert (alone.history["test_loss"] == threaded.history["test_loss"]).all()


def test_a_stored_run_goes_on_in_its_threads(tmp_path) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    recipe = tw.Recipe(tw.optim.AdamW(1e-2), steps=4, batch_size=32)
    tw.train(problem, recipe, 2, plan=Plan("looped", 1, threads=2), store=tmp_path, until=2)
    assert tw.train(problem, recipe, 2, store=tmp_path).plan == Plan("looped", 1, threads=2)


def test_rows_are_computed_in_several_threads_that_have_one_of_torchs_each() -> None:
    seen: dict[int, set[int]] = {}
    together = threading.Barrier(2)

    class Looking(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if threading.current_thread() is not threading.main_thread():
                together.wait(timeout=60)  # both are here at once
                seen.setdefault(threading.get_ident(), set()).add(torch.get_num_threads())
            return super().forward(x)

    problem = Problem(lambda: Looking(4, 3), (X, Y))
    population, batch = problem.initialize(4), _shared_batch(problem)
    before = torch.get_num_threads()
    Execution(problem, population, batch, plan=Plan("looped", 1, threads=2)).gradient(
        batch, torch.empty_like(population.theta)
    )
    assert list(seen.values()) == [{1}, {1}]
    assert torch.get_num_threads() == before


def test_an_error_in_a_thread_is_that_of_the_model_and_the_threads_go_on() -> None:
    class Failing(nn.Linear):
        on = False

        def forward(self, x: Tensor) -> Tensor:
            if Failing.on:
                raise IndexError("row 7 is not there")
            return super().forward(x)

    problem = Problem(lambda: Failing(4, 3), (X, Y))
    population, batch = problem.initialize(4), _shared_batch(problem)
    taken = Execution(problem, population, batch, plan=Plan("looped", 1, threads=2))
    out = torch.zeros_like(population.theta)
    Failing.on = True
    with pytest.raises(ModelError, match="row 7 is not there"):
        taken.gradient(batch, out)
    Failing.on = False
    taken.gradient(batch, out)
    assert out.count_nonzero(1).all()


def test_threads_are_measured_where_torch_has_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    problem = CASE["mlp"].problem()
    population, batch = problem.initialize(MEMBERS).copy(), _shared_batch(problem)
    plan = choose(problem, population, batch)
    assert {name for name in plan.seconds if "threads" in name} == {
        "looped, in 2 threads",
        "stacked, 3 at once, in 2 threads",
    }
    few = choose(CASE["mlp"].problem(), population, batch, calls=1)
    assert not any("threads" in name for name in few.seconds)


def test_with_one_thread_none_are_measured() -> None:
    problem = CASE["mlp"].problem()
    with one_thread():
        plan = choose(problem, problem.initialize(MEMBERS), _shared_batch(problem))
    assert plan.threads == 1
    assert not any("threads" in name for name in plan.seconds)


def test_what_differs_in_threads_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    agrees = execution.Trial.agrees
    monkeypatch.setattr(
        execution.Trial, "agrees", lambda self, other: len(self.team.workers) == 1 and agrees(self, other)
    )
    problem = CASE["mlp"].problem()
    plan = choose(problem, problem.initialize(MEMBERS).copy(), _shared_batch(problem))
    assert plan.threads == 1
    assert not any("threads" in name for name in plan.seconds)


def test_members_that_draw_do_so_one_by_one() -> None:
    problem = CASE["dropout"].problem()
    population, batch = problem.initialize(3), _shared_batch(problem)
    taken = Execution(problem, population, batch, plan=Plan("looped", 1, threads=2), seeds=[0, 1, 2])
    assert taken.plan.threads == 1


def test_a_number_of_threads_is_at_least_one() -> None:
    with pytest.raises(UsageError, match="Plan threads must be a whole number of at least 1; got 0"):
        Plan("looped", 1, threads=0)


def test_a_forked_process_has_threads_of_its_own() -> None:
    team = Team(lambda: None, 2)  # type: ignore[arg-type,return-value]
    rows = [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert team.each(rows, lambda worker, chunk: chunk.start) == [0, 1, 2]
    child = os.fork()
    if not child:
        os._exit(0 if team.each(rows, lambda worker, chunk: chunk.start) == [0, 1, 2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_running_statistics_are_recomputed_in_every_thread() -> None:
    problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=40))
    fresh, found = problem.initialize(4), []
    for plan in (Plan("looped", 1), Plan("looped", 1, threads=3)):
        found.append(tw.evaluation.recomputed(problem, fresh, tw.Sample("train", 20), plan=plan))
    for name, buffer in found[0].running.items():
        assert torch.equal(buffer, found[1].running[name])
        assert not torch.equal(buffer, fresh.running[name])


def test_ctrl_c_leaves_no_thread_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    team, begun, ended = Team(lambda: None, 2), [], []  # type: ignore[arg-type,return-value]
    release, real = threading.Event(), threads.wait

    def interrupted(futures: object) -> object:
        monkeypatch.setattr(threads, "wait", real)
        threading.Timer(0.05, release.set).start()
        raise KeyboardInterrupt

    def work(worker: object, rows: slice) -> None:
        begun.append(rows.start)
        release.wait(60)
        ended.append(rows.start)

    monkeypatch.setattr(threads, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        team.each([slice(place, place + 1) for place in range(50)], work)
    assert sorted(begun) == sorted(ended)
    assert len(ended) < 50
