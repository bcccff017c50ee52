import gc
import weakref

import pytest
import torch
from cases import CASE, CASES, DETERMINISTIC, Case, X, Y, every_with, flat_gradient, mean_loss, plain_call
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, Execution, Plan, Population, Problem, choose, execution
from thalweg.population.agreement import Difference
from thalweg.population.looped import Looped, activation_bytes
from thalweg.randomness import generator

MEMBERS = 5
PLANS = {"looped": Plan("looped", 1), "stacked": Plan("stacked", 0), "chunked": Plan("stacked", 2)}
over_plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
both_batches = pytest.mark.parametrize("shared", [True, False], ids=["one batch", "own batches"])


def _batch(problem: Problem, shared: bool) -> Batch:
    rows = 1 if shared else MEMBERS
    indices = torch.stack([torch.randperm(24, generator=generator(row, "test"))[:7] for row in range(rows)])
    return Batch.of(problem.data.train, indices)


def _members(problem: Problem) -> Population:
    return problem.initialize(MEMBERS).copy()


@both_batches
@every_with(DETERMINISTIC, PLANS)
def test_losses_gradients_and_statistics_are_those_of_separate_modules(case: Case, shared: bool, plan: Plan) -> None:
    problem = case.problem(dtype=torch.float64)
    population, batch = _members(problem), _batch(problem, shared)
    modules = [population.module(member).train() for member in range(MEMBERS)]
    out = torch.full_like(population.theta, torch.nan)
    losses = Execution(problem, population, batch, plan=plan).gradient(batch, out)
    for member, module in enumerate(modules):
        inputs, targets = batch.member(member)
        loss = mean_loss(case, plain_call(module, inputs), targets)
        loss.backward()
        torch.testing.assert_close(losses[member], loss.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(out[member], flat_gradient(module), rtol=1e-10, atol=1e-13)
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(population.buffers[name][member], buffer, rtol=1e-12, atol=1e-14)


@both_batches
@every_with(CASES, PLANS)
def test_outputs_in_evaluation_are_those_of_separate_modules(case: Case, shared: bool, plan: Plan) -> None:
    problem = case.problem(dtype=torch.float64)
    population, batch = _members(problem), _batch(problem, shared)
    before = {name: buffer.clone() for name, buffer in population.buffers.items()}
    execution = Execution(problem, population, batch, plan=plan, training=False)
    parts = [outputs for _, outputs in execution.outputs(batch)]
    together = tree_map(lambda *leaves: torch.cat(leaves), *parts)
    for member in range(MEMBERS):
        with torch.no_grad():
            wanted = plain_call(population.module(member).eval(), batch.member(member)[0])
        for got, want in zip(tree_leaves(together), tree_leaves(wanted), strict=True):
            torch.testing.assert_close(got[member], want, rtol=1e-12, atol=1e-14)
    assert all(torch.equal(population.buffers[name], buffer) for name, buffer in before.items())


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5])
def test_the_chunk_size_changes_nothing(chunk: int) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population, batch = _members(problem), _batch(problem, shared=False)
    whole, parts = torch.empty_like(population.theta), torch.empty_like(population.theta)
    Execution(problem, population, batch, plan=Plan("stacked", 0)).gradient(batch, whole)
    Execution(problem, population, batch, plan=Plan("stacked", chunk)).gradient(batch, parts)
    torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_a_member_that_is_not_finite_leaves_the_others_bits(mode: str, shared: bool) -> None:
    problem = CASE["batchnorm"].problem()
    healthy, batch = _members(problem), _batch(problem, shared)
    sick = healthy.copy()
    sick.theta[2] = torch.nan
    results = []
    for population in (healthy, sick):
        out = torch.empty_like(population.theta)
        losses = Execution(problem, population, batch, plan=Plan(mode, 0)).gradient(batch, out)
        results.append([losses, out, *population.buffers.values()])
    others = [0, 1, 3, 4]
    assert all(torch.equal(one[others], other[others]) for one, other in zip(*results, strict=True))
    assert results[1][1][2].isnan().any()


@over_plans
def test_the_order_of_members_changes_nothing(plan: Plan) -> None:
    problem = CASE["attention"].problem(dtype=torch.float64)
    population, batch = _members(problem), _batch(problem, shared=False)
    order = [3, 0, 4, 1, 2]
    straight, permuted = torch.empty_like(population.theta), torch.empty_like(population.theta)
    Execution(problem, population, batch, plan=plan).gradient(batch, straight)
    reordered = Batch(batch.inputs[order], batch.targets[order], shared=False)
    Execution(problem, population[order], reordered, plan=plan).gradient(reordered, permuted)
    torch.testing.assert_close(permuted, straight[order], rtol=1e-12, atol=1e-15)


def test_theta_and_buffers_are_read_at_every_call() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    for plan in PLANS.values():
        population, batch = _members(problem), _batch(problem, shared=True)
        execution = Execution(problem, population, batch, plan=plan, training=False)
        before = torch.cat([outputs for _, outputs in execution.outputs(batch)])
        population.theta[1].mul_(2)
        population.buffers["norm.running_mean"][3] += 1
        after = torch.cat([outputs for _, outputs in execution.outputs(batch)])
        changed = (before != after).flatten(1).any(1)
        assert changed.tolist() == [False, True, False, True, False]


def test_gradients_do_not_need_the_callers_grad_mode() -> None:
    problem = CASE["mlp"].problem()
    population, batch = _members(problem), _batch(problem, shared=True)
    for plan in ("stacked", "looped", "auto"):
        inside, outside = torch.empty_like(population.theta), torch.empty_like(population.theta)
        with torch.no_grad():
            execution = Execution(problem, population, batch, plan=plan)
            execution.gradient(batch, inside)
        execution.gradient(batch, outside)
        assert torch.equal(inside, outside)


def test_one_member_and_random_models_are_looped() -> None:
    problem = CASE["mlp"].problem()
    assert choose(problem, problem.initialize(1), _batch(problem, shared=True)).mode == "looped"
    dropping = CASE["dropout"].problem()
    population, batch = _members(dropping), _batch(dropping, shared=True)
    plan = choose(dropping, population, batch)
    assert (plan.mode, plan.reason.partition(" mode, ")[2]) == ("looped", "each member from a stream of its own")
    assert choose(dropping, population, batch, "stacked", training=False).mode == "stacked"
    for forced in ("stacked", Plan("stacked")):
        with pytest.raises(UsageError, match=r'stacked: the model or its loss draws random .*; write plan="looped"'):
            Execution(dropping, population, batch, plan=forced)


def test_plans_that_do_not_exist() -> None:
    problem = CASE["mlp"].problem()
    for wrong in ("stack", Plan("stack")):
        with pytest.raises(UsageError, match=r"no plan 'stack'. Did you mean 'stacked'\? Known: auto, looped, stacked"):
            Execution(problem, _members(problem), _batch(problem, shared=True), plan=wrong)


def test_dropout_is_drawn_from_each_members_own_stream_and_step() -> None:
    problem = CASE["dropout"].problem()
    population, batch = _members(problem), _batch(problem, shared=True)

    def gradient(which: list[int], step: int) -> Tensor:
        members = population[which]
        out = torch.empty_like(members.theta)
        Execution(problem, members, batch, seeds=which).gradient(batch, out, step)
        return out

    together = gradient([0, 1, 2], step=4)
    assert torch.equal(gradient([1], step=4)[0], together[1])
    assert torch.equal(gradient([2, 0], step=4), together[[2, 0]])
    assert not torch.equal(gradient([1], step=5)[0], together[1])
    same = population[[0, 0]]
    out = torch.empty_like(same.theta)
    Execution(problem, same, batch, seeds=[0, 1]).gradient(batch, out, 4)
    assert not torch.equal(out[0], out[1])


def test_measuring_leaves_no_trace_and_is_remembered() -> None:
    problem = CASE["batchnorm"].problem()
    population, batch = _members(problem), _batch(problem, shared=False)
    theta, buffers = population.theta.clone(), {name: buffer.clone() for name, buffer in population.buffers.items()}
    plan = choose(problem, population, batch)
    assert torch.equal(population.theta, theta)
    assert all(torch.equal(population.buffers[name], buffer) for name, buffer in buffers.items())
    assert "looped" in plan.seconds
    assert any(name.startswith("stacked") for name in plan.seconds)
    assert min(plan.seconds.values()) == plan.seconds[str(plan)]
    assert choose(problem, population, batch) is plan


class Branching(nn.Linear):
    """Control flow that depends on the data, which vmap cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if out.sum().item() > 0 else 2 * out


def test_a_model_that_cannot_be_stacked_is_looped_and_it_is_said_why() -> None:
    problem = Problem(lambda: Branching(4, 3), (X, Y))
    plan = choose(problem, _members(problem), _batch(problem, shared=True))
    assert plan.mode == "looped"
    assert plan.reason.startswith("the model cannot be stacked (vmap")
    with pytest.raises(ModelError, match='Plan "stacked" was asked for, but the model cannot be stacked'):
        choose(problem, _members(problem), _batch(problem, shared=True), "stacked")


def test_a_model_whose_stacked_results_differ_is_looped(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = CASE["mlp"].problem()
    off = Difference("the gradient of 'weight'", 0.25, "wrong")
    monkeypatch.setattr(execution.Trial, "difference", lambda self, other: off)
    plan = choose(problem, _members(problem), _batch(problem, shared=True))
    assert plan.reason.endswith(
        "differ from those of the plain module by 25% of the largest entry of the gradient of 'weight'"
    )


@pytest.mark.parametrize("case", [CASE["mlp"], CASE["batchnorm"], CASE["attention"]], ids=lambda case: case.name)
def test_chunks_shrink_with_the_memory_budget(case: Case) -> None:
    tight = case.problem(memory_budget=1)
    assert choose(tight, _members(tight), _batch(tight, shared=True), "stacked").chunk == 1
    wide = case.problem()
    assert choose(wide, _members(wide), _batch(wide, shared=True), "stacked").chunk == MEMBERS


def test_buffers_that_a_module_replaces_are_kept() -> None:
    class Replacing(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.seen = self.seen + x.sum().detach()
            return super().forward(x)

    problem = Problem(Replacing, (X, Y))
    population, batch = _members(problem), _batch(problem, shared=False)
    out = torch.empty_like(population.theta)
    execution = Execution(problem, population, batch)
    for _ in range(2):
        execution.gradient(batch, out)
    torch.testing.assert_close(population.buffers["seen"], 2 * batch.inputs.sum((1, 2)))
    with pytest.raises(ModelError, match="replaces its buffer 'seen' by a new tensor"):
        Execution(problem, population, batch, plan="stacked")
    with pytest.raises(ModelError, match="replaces its buffer 'seen' by a new tensor"):
        Execution(problem, population, batch, plan=Plan("stacked", 2)).gradient(batch, out)


def test_a_slow_average_that_is_replaced_moves() -> None:
    class Slow(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)
            self.register_buffer("scale", torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x) * self.scale  # which the backward pass needs, after it was replaced
            if self.training:
                self.scale = self.scale + 1e-5
            return out

    problem = Problem(Slow, (X, Y))
    population, batch = _members(problem), _batch(problem, shared=True)
    execution = Execution(problem, population, batch)
    for _ in range(100):
        execution.gradient(batch, torch.empty_like(population.theta))
    torch.testing.assert_close(population.buffers["scale"], torch.full((len(population),), 1.001))


class Speechless(nn.Linear):
    """Fails under vmap without a word."""

    def forward(self, x: Tensor) -> Tensor:
        if torch._C._functorch.maybe_current_level() is not None:
            raise NotImplementedError
        return super().forward(x).sort(-1).values


def test_a_failure_without_words_is_named_by_its_kind() -> None:
    problem = Problem(lambda: Speechless(4, 3), (X, Y))
    plan = choose(problem, _members(problem), _batch(problem, shared=True))
    assert plan.reason == "the model cannot be stacked (NotImplementedError)"


@pytest.mark.parametrize(("budget", "chunk"), [(1, 1), (2**30, None)])
def test_a_forced_plan_without_a_chunk_keeps_to_the_memory(
    budget: int, chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = CASE["mlp"].problem(memory_budget=budget)
    population, batch = _members(problem), _batch(problem, shared=True)
    for mode, wanted in (("stacked", chunk or len(population)), ("looped", 1)):
        taken = Execution(problem, population, batch, plan=Plan(mode), training=False)
        assert next(rows.stop - rows.start for rows, _ in taken.outputs(batch)) == wanted


def test_looped_members_do_not_see_each_other() -> None:
    problem = CASE["frozen"].problem(dtype=torch.float64)
    population, batch = _members(problem), _batch(problem, shared=True)
    looped = Looped(problem, population, training=True)
    out, again = torch.zeros_like(population.theta), torch.zeros_like(population.theta)
    for rows in (slice(0, 5), slice(3, 4), slice(1, 2)):
        looped.gradient(rows, batch, again if rows.start else out)
    assert torch.equal(again[[1, 3]], out[[1, 3]])
    assert again[[0, 2, 4]].count_nonzero() == 0


class Unusual(nn.Module):
    """Linear maps by keyword, of a vector of weights, and of inputs with three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.vector = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        rows = nn.functional.linear(input=x, weight=self.weight, bias=None)
        scores = nn.functional.linear(x, self.vector).unsqueeze(1)
        return rows + scores + nn.functional.linear(x.unsqueeze(1), self.weight).squeeze(1)


def test_linear_maps_of_every_form_are_stacked() -> None:
    problem = Problem(Unusual, (X, Y))
    members, batch = _members(problem), _batch(problem, shared=True)
    gradients = []
    for plan in ("stacked", "looped"):
        out = torch.empty_like(members.theta)
        Execution(problem, members, batch, plan=plan).gradient(batch, out)
        gradients.append(out)
    torch.testing.assert_close(*gradients)


class Watched(nn.Linear):
    """Keeps weak references to what tanh keeps for its backward pass, which is its own output."""

    seen: list[weakref.ref] = []  # noqa: RUF012 - one list for all copies

    def forward(self, x: Tensor) -> Tensor:
        out = torch.tanh(super().forward(x))
        self.seen.append(weakref.ref(out))
        return out


def test_measuring_activations_keeps_none() -> None:
    problem = Problem(lambda: Watched(4, 3), (X, Y))
    population, batch = _members(problem), _batch(problem, shared=True)
    for training in (True, False):
        problem.draws(training=training)
        Watched.seen.clear()
        assert activation_bytes(problem, population, batch, training=training) >= 7 * (4 + 3) * 4
        gc.collect()
        assert len(Watched.seen) == 1
        assert Watched.seen[0]() is None
