import contextvars
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASE, DETERMINISTIC, Case, X, Y, every_with
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, Execution, Plan, Problem, choose, execution, threads
from thalweg.population.agreement import Difference
from thalweg.population.threads import Team, one_thread

pytestmark = pytest.mark.usefixtures("two_threads")
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
        with one_thread() if how is plan else nullcontext():
            losses = Execution(problem, population, batch, plan=how).gradient(batch, out)
            outputs = Execution(problem, population, batch, plan=how, training=False).outputs(batch)
            parts = [leaf for _, part in outputs for leaf in tree_leaves(part)]
        found.append([losses, out, *population.buffers.values(), *parts])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_run_in_threads_is_that_without_them() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=100, test=50))
    recipe = tw.Recipe(tw.optim.AdamW(1e-2), steps=6, batch_size=32)
    with one_thread():
        alone = tw.train(problem, recipe, 3, plan=Plan("looped", 1))
    threaded = tw.train(problem, recipe, 3, plan=Plan("looped", 1, threads=2))
    assert threaded.plan.threads == 2
    assert torch.equal(alone.final.theta, threaded.final.theta)
    assert (alone.history["test_loss"] == threaded.history["test_loss"]).all()


class Scaled(nn.Module):
    """Its only gradient is a sum of so many numbers that its bits depend on torch's threads."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def _scaled() -> Problem:
    x, y = (torch.randn(400, 300, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    return Problem(Scaled, (x, y), "squared_error")


@pytest.mark.parametrize("members", [1, 3])
def test_bits_in_threads_are_those_of_a_process_with_one(members: int) -> None:
    problem = _scaled()
    population, batch, found = problem.initialize(members), Batch.range(problem.data.train, 0, 400), []
    for count, plan in ((1, Plan("looped", 1)), (2, Plan("looped", 1)), (2, Plan("looped", 1, threads=2))):
        torch.set_num_threads(count)
        out = torch.empty_like(population.theta)
        Execution(problem, population, batch, plan=plan).gradient(batch, out)
        found.append(out)
    assert not torch.equal(found[0], found[1])  # or this test could not fail
    assert torch.equal(found[0], found[2])


def test_a_stored_run_goes_on_in_its_threads_whatever_torch_has(tmp_path: Path) -> None:
    problem, recipe = _scaled(), tw.Recipe(tw.optim.Momentum(0.01), steps=4, batch_size=400)
    shared = tw.train(problem, recipe, 2, plan=Plan("looped", 1))
    with one_thread():
        alone = tw.train(problem, recipe, 2, plan=Plan("looped", 1))
    tw.train(problem, recipe, 2, plan=Plan("looped", 1, threads=2), store=tmp_path, until=2)
    torch.set_num_threads(3)
    resumed = tw.train(problem, recipe, 2, store=tmp_path)
    assert resumed.plan == Plan("looped", 1, threads=2)
    sums = [run.state.slots["velocity"] for run in (shared, alone, resumed)]
    assert not torch.equal(sums[0], sums[1])  # or this test could not fail
    assert torch.equal(sums[1], sums[2])
    assert torch.equal(alone.final.theta, resumed.final.theta)


def test_only_gradient_and_update_of_a_run_in_threads_have_one() -> None:
    seen: dict[str, set[int]] = {}

    def note(what: str) -> None:
        seen.setdefault(what, set()).add(torch.get_num_threads())

    class Noting(tw.optim.SGD):
        def update(self, *given: Any) -> None:
            note("update")
            super().update(*given)

    def metric(output: Tensor, target: Tensor) -> Tensor:
        note("metric")
        return (output.argmax(-1) != target).float()

    problem = Problem(lambda: nn.Linear(4, 3), (X, Y), metrics={"wrong": metric})
    seen.clear()
    recipe = tw.Recipe(Noting(0.1), steps=2, batch_size=8, evaluate=1)
    tw.train(problem, recipe, 2, plan=Plan("looped", 1, threads=2), observe=lambda step, population: note("observer"))
    assert seen == {"update": {1}, "metric": {2}, "observer": {2}}
    assert torch.get_num_threads() == 2


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
    Execution(problem, population, batch, plan=Plan("looped", 1, threads=2)).gradient(
        batch, torch.empty_like(population.theta)
    )
    assert list(seen.values()) == [{1}, {1}]
    later: list[int] = []
    new = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert (torch.get_num_threads(), later) == (2, [2])


def test_workers_have_the_callers_context_and_take_tiny_numbers_as_it_does() -> None:
    named: contextvars.ContextVar[str] = contextvars.ContextVar("named", default="unset")
    rows, tiny = [slice(place, place + 1) for place in range(4)], torch.full((8,), 1e-40)

    def look(worker: object, chunk: slice) -> tuple[str, bool]:
        return named.get(), bool((tiny * 0.5).count_nonzero())

    def alike() -> set[tuple[str, bool]]:
        return set(Team(lambda: None, 2, 4).each(rows, look))  # type: ignore[arg-type,return-value]

    token = named.set("mine")
    try:
        assert alike() == {("mine", True)}
        torch.set_flush_denormal(True)
        assert alike() == {("mine", False)}
    finally:
        torch.set_flush_denormal(False)
        named.reset(token)
    assert alike() == {("unset", True)}


def test_a_model_that_chooses_its_attention_does_not_choose_that_of_the_process() -> None:
    together = threading.Barrier(2)

    class Choosing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if threading.current_thread() is threading.main_thread():
                return super().forward(x)
            chosen = sdpa_kernel([SDPBackend.MATH], set_priority=True)
            first = together.wait(timeout=60) == 0
            if not first:
                together.wait(timeout=60)  # the second begins when the first has begun, and ends after it
            with chosen:
                torch.backends.mha.set_fastpath_enabled(False)
                if first:
                    together.wait(timeout=60)
                together.wait(timeout=60)
                if not first:
                    together.wait(timeout=60)
            if first:
                together.wait(timeout=60)
            return super().forward(x)

    problem = Problem(lambda: Choosing(4, 3), (X, Y))
    population, batch = problem.initialize(2), _shared_batch(problem)

    def choice() -> list[Any]:
        switches = [getattr(torch._C, f"_get_{name}_sdp_enabled")() for name in ("flash", "math", "mem_efficient")]
        return [*switches, torch._C._get_sdp_priority_order(), torch.backends.mha.get_fastpath_enabled()]

    before = choice()
    try:
        Execution(problem, population, batch, plan=Plan("looped", 1, threads=2)).gradient(
            batch, torch.empty_like(population.theta)
        )
        assert choice() == before
    finally:
        for name, enabled in zip(("flash", "math", "mem_efficient"), before, strict=False):
            getattr(torch._C, f"_set_sdp_use_{name}")(enabled)
        torch.backends.mha.set_fastpath_enabled(before[-1])


def test_a_team_within_a_team_works_in_its_thread() -> None:
    rows, found = [slice(place, place + 1) for place in range(4)], []

    def outer(worker: object, chunk: slice) -> list[tuple[int, int]]:
        inner = Team(lambda: None, 2, 4)  # type: ignore[arg-type,return-value]
        here = threading.get_ident()
        assert inner.each(rows, lambda worker, part: threading.get_ident()) == [here] * 4
        return [(chunk.start, part) for part in inner.each(rows, lambda worker, part: part.start)]

    def work() -> None:
        found.extend(Team(lambda: None, 2, 4).each(rows, outer))  # type: ignore[arg-type,return-value]

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert found == [[(place, part) for part in range(4)] for place in range(4)]


def test_where_one_fails_no_other_is_begun_and_the_first_in_order_is_said() -> None:
    team, begun = Team(lambda: None, 2, 50), []  # type: ignore[arg-type,return-value]
    second_failed = threading.Event()

    def work(worker: object, rows: slice) -> None:
        begun.append(rows.start)
        if rows.start == 0:
            second_failed.wait(60)
        if rows.start == 1:
            second_failed.set()
        raise KeyError(rows.start)

    with pytest.raises(KeyError, match="0"):
        team.each([slice(place, place + 1) for place in range(50)], work)
    assert sorted(begun) == [0, 1]


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


def test_threads_are_measured_where_torch_has_several() -> None:
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
    difference = execution.Trial.difference

    def differing(self: execution.Trial, other: execution.Trial) -> Difference | None:
        off = Difference("loss", 0.1, "wrong")
        return difference(self, other) if len(self.team.workers) == 1 else off

    monkeypatch.setattr(execution.Trial, "difference", differing)
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


FORKED = """
import os
from thalweg.population.threads import Team
team, rows = Team(lambda: None, 2, 3), [slice(0, 1), slice(1, 2), slice(2, 3)]
begun = lambda: team.each(rows, lambda worker, chunk: chunk.start) == [0, 1, 2]
assert begun()
child = os.fork()
if not child:
    os._exit(0 if begun() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_forked_process_has_threads_of_its_own() -> None:
    # Forked from a process of its own: this one may hold threads of other libraries, which no fork survives.
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)


def test_running_statistics_are_recomputed_in_every_thread() -> None:
    problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=40))
    fresh, found = problem.initialize(4), []
    for plan in (Plan("looped", 1), Plan("looped", 1, threads=3)):
        with one_thread() if plan.threads == 1 else nullcontext():
            found.append(tw.evaluation.recomputed(problem, fresh, tw.Sample("train", 20), plan=plan))
    for name, buffer in found[0].running.items():
        assert torch.equal(buffer, found[1].running[name])
        assert not torch.equal(buffer, fresh.running[name])


def test_ctrl_c_leaves_no_thread_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    team, begun, ended = Team(lambda: None, 2, 50), [], []  # type: ignore[arg-type,return-value]
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
