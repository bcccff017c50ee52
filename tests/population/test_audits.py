"""Audits of evaluations and derivatives, and when there are any."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.population import Batch, Execution, Plan, Population, Problem, derivatives
from thalweg.population.audit_draws import LEAST, Schedule, drawn_cells, drawn_member, due
from thalweg.population.audits import StackedDiffers

RARE, MEMBERS = 9, 5


def _vmapped(tensor: Tensor) -> bool:
    """Whether members are stacked, however many derivatives are taken."""
    level = torch._C._functorch
    while level.is_functorch_wrapped_tensor(tensor):
        if level.is_batchedtensor(tensor):
            return True
        tensor = level.get_unwrapped(tensor)
    return False


class Late(nn.Module):
    """Stacked, it gives another output where a rare token is seen."""

    def __init__(self, *, right: bool = False) -> None:
        super().__init__()
        self.embed, self.out, self.right = nn.Embedding(10, 6), nn.Linear(6, 3), right

    def forward(self, tokens: Tensor) -> Tensor:
        rows = self.embed(tokens)
        if _vmapped(rows) and not self.right:
            rows = torch.where((tokens == RARE).unsqueeze(-1), self.wrong(rows), rows)
        return self.out(torch.tanh(rows).mean(1))

    def wrong(self, rows: Tensor) -> Tensor:
        return 2 * rows


class Detached(Late):
    """Its outputs are right, and its derivatives are not."""

    def wrong(self, rows: Tensor) -> Tensor:
        return rows.detach()


def _data(rare: int) -> tuple[Tensor, Tensor]:
    """Texts of which the last ones hold the rare token."""
    draw = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(0, RARE, (1200, 4), generator=draw), torch.randint(3, (1200,), generator=draw)
    tokens[len(tokens) - rare :, 2:] = RARE
    return tokens, targets


@pytest.mark.parametrize("steps", [1, 5, 8, 9, 40, 399, 1_000])
def test_eight_audits_a_run_or_one_in_fifty_steps(steps: int) -> None:
    audited = [step for step in range(3, 3 + steps) if Schedule(7, 3, 3 + steps).due(step)]
    assert len(audited) == min(steps, max(LEAST, steps // 50))
    assert audited[0] == 3
    one = Schedule(7, 3, 3 + steps)
    assert [step for step in range(3, 3 + steps) if one.due(step)] == audited
    if steps > 100:
        other = [step for step in range(3, 3 + steps) if Schedule(8, 3, 3 + steps).due(step)]
        assert other != audited
        gaps = torch.tensor(audited).diff()
        assert int(gaps.max()) < 2.1 * steps / len(audited)


def test_calls_that_come_again_are_audited_now_and_then() -> None:
    problem = Problem(Late, _data(0))
    audited = [number for number in (due(problem, "work") for _ in range(2_000)) if number is not None]
    assert audited[:LEAST] == list(range(LEAST))
    assert 39 <= len(audited[LEAST:]) <= 40
    assert due(problem, "other work") == 0


def test_members_are_drawn_evenly_among_those_that_are_eligible() -> None:
    eligible = torch.tensor([True, False, True, True])
    counts = torch.bincount(torch.tensor([drawn_member(0, step, eligible) for step in range(600)]), minlength=4)
    assert counts[1] == 0
    assert ((counts[[0, 2, 3]] - 200).abs() < 4 * (600 * 2 / 9) ** 0.5).all()
    assert drawn_member(0, 0, torch.zeros(3, dtype=torch.bool)) is None
    cells = [drawn_cells(0, number, 3, eligible) for number in range(200)]
    assert {batch for one in cells for batch in one} == {0, 1, 2}
    assert {member for one in cells for member in one.values()} == {0, 2, 3}
    assert drawn_cells(0, 0, 3, torch.zeros(3, dtype=torch.bool)) == {}


def _said(work: Callable[[], object]) -> tuple[object, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = work()
    return found, [str(one.message) for one in said]


@pytest.mark.parametrize("which", ["means", "by example", "outputs"])
def test_an_evaluation_that_differs_is_done_anew(which: str) -> None:
    data = _data(160)  # none of the first batch, all of the last one
    work = {
        "means": lambda problem, at, plan: tw.evaluate(problem, at, "train", plan=plan)["loss"],
        "by example": lambda problem, at, plan: tw.evaluation.by_example(problem, at, "train", plan=plan)["loss"],
        "outputs": lambda problem, at, plan: tw.evaluation.Evaluator(
            problem, at, problem.data.train, plan=plan
        ).outputs(),
    }[which]
    problem = Problem(Late, data)
    wanted = work(Problem(lambda: Late(right=True), data), problem.initialize(MEMBERS), "looped")
    for _ in range(LEAST):  # one of the batches, at random, so not at the first call for sure
        found, said = _said(lambda: work(problem, problem.initialize(MEMBERS), Plan("stacked", 0)))
        if said:
            break
        assert not torch.equal(found, wanted)
    assert said[0].startswith("an audit found that stacked results of member ")
    assert said[0].endswith("of the largest entry of the output; evaluated anew, looped.")
    assert torch.equal(found, wanted)
    for forced in ("stacked", Plan("stacked", 0)):
        again, told = _said(lambda forced=forced: work(problem, problem.initialize(MEMBERS), forced))
        assert told == [f'{problem.unstacked}; looped, though "stacked" was asked for.']
    again, nothing = _said(lambda: work(problem, problem.initialize(MEMBERS), "auto"))
    assert nothing == []
    assert torch.equal(again, wanted)
    assert problem.unstacked


def test_derivatives_that_differ_are_done_anew() -> None:
    data = _data(1200)
    problem, right = Problem(Detached, data), Problem(lambda: Detached(right=True), data)
    there = right.initialize(MEMBERS)  # members are called as their own population's model
    population, batch = problem.initialize(MEMBERS), Batch.range(problem.data.train, 0, 100)
    found, said = _said(lambda: derivatives.gradient(problem, population, batch))
    assert said[0].endswith("done anew, looped.")
    torch.testing.assert_close(found, derivatives.gradient(right, there, batch))
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(1))
    own = Problem(Detached, data)
    found, said = _said(lambda: derivatives.jacobian_product(own, population, vectors, batch))
    assert len(said) == 1
    torch.testing.assert_close(found, derivatives.jacobian_product(right, there, vectors, batch))
    own, cotangents = Problem(Detached, data), torch.ones_like(found)
    pulled, said = _said(lambda: derivatives.transposed_jacobian_product(own, population, cotangents, batch))
    assert len(said) == 1
    torch.testing.assert_close(pulled, derivatives.transposed_jacobian_product(right, there, cotangents, batch))


@pytest.mark.parametrize("matrix", ["hessian", "gauss_newton", "fisher"])
def test_curvature_that_differs_is_done_anew(matrix: str) -> None:
    data = _data(1200)
    problem, right = Problem(Detached, data), Problem(lambda: Detached(right=True), data)
    population = problem.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(1))
    found, said = _said(lambda: getattr(tw.curvature, matrix)(problem, population)(vectors))
    assert len(said) == 1
    assert said[0].endswith("product; done anew, looped.")
    wanted = getattr(tw.curvature, matrix)(right, population)(vectors)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_an_audit_that_is_asked_for_raises_and_leaves_results_alone() -> None:
    problem = Problem(Detached, _data(1200))
    population, batch = problem.initialize(MEMBERS).copy(), Batch.range(problem.data.train, 0, 50)
    out, plain = torch.empty_like(population.theta), torch.empty_like(population.theta)
    execution = Execution(problem, population, batch, plan=Plan("stacked", 0))
    execution.gradient(batch, out)
    with pytest.raises(StackedDiffers, match=r"member 3 at step 8 differ .* of 'embed.weight'; write plan=\"looped\""):
        execution.gradient(batch, plain, 7, audit=3)
    assert torch.equal(out, plain)
    looped = Execution(problem, population, batch, plan="looped")
    looped.gradient(batch, plain, 7, audit=3)
    fine = Problem(lambda: Detached(right=True), _data(1200))
    execution = Execution(fine, population, batch, plan=Plan("stacked", 0))
    execution.gradient(batch, out, audit=2)
    torch.testing.assert_close(out, plain)


def test_what_neither_way_computes_is_raised_as_it_is() -> None:
    class Failing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[-2] == 3:
                msg = "three is too few"
                raise ValueError(msg)
            return super().forward(x)

    x, y = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    problem = Problem(lambda: Failing(4, 3), (x, y))
    population = problem.initialize(2).copy()
    execution = Execution(problem, population, Batch.range(problem.data.train, 0, 8), plan=Plan("stacked", 0))
    with pytest.raises(ModelError, match="three is too few") as raised:
        execution.gradient(Batch.range(problem.data.train, 0, 3), torch.empty_like(population.theta))
    assert not isinstance(raised.value, StackedDiffers)


class Padded(nn.Module):
    """An encoder of torch's, with padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 8, padding_idx=0)
        self.encode = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 1)
        self.out = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.encode(self.embed(tokens), src_key_padding_mask=tokens == 0).mean(1))


def _padded() -> tuple[Problem, Population]:
    draw = torch.Generator().manual_seed(0)
    tokens, lengths = torch.randint(1, 7, (64, 9), generator=draw), torch.randint(3, 8, (64,), generator=draw)
    tokens[torch.arange(9)[None] >= lengths[:, None]] = 0
    problem = Problem(Padded, (tokens, torch.randint(3, (64,), generator=draw)))
    return problem, problem.initialize(2)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_training_evaluation_and_derivatives_are_of_one_function() -> None:
    problem, population = _padded()
    data = problem.data.train
    wanted = F.cross_entropy(population.module(0).eval()(data.inputs), data.targets)  # with gradients: by the formula
    fused = torch.backends.mha.get_fastpath_enabled()
    losses = [tw.evaluate(problem, population, plan=plan)["loss"][0] for plan in ("looped", "stacked")]
    losses.append(tw.train(problem, tw.Recipe(tw.optim.SGD(0.0), 1), plan="looped").history.batch_loss[0, 0])
    for loss in losses:
        assert float(loss) == pytest.approx(wanted.item(), rel=1e-6)
    assert torch.backends.mha.get_fastpath_enabled() == fused
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of nested tensors
        other = F.cross_entropy(population.module(0).eval()(data.inputs), data.targets)
    assert float((other - wanted).detach().abs()) > 0.01  # torch's own evaluation, without which nothing would be shown


class Torn(nn.Linear):
    """Another function where no gradients are taken."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1.0 if torch.is_grad_enabled() else 1.25)


def test_a_model_with_two_paths_is_said_to_have_them() -> None:
    problem = Problem(lambda: Torn(4, 3), (torch.randn(16, 4), torch.arange(16) % 3))
    population, batch = problem.initialize(2), Batch.range(problem.data.train, 0, 8)
    _, said = _said(lambda: derivatives.gradient(problem, population, batch))
    assert len(said) == 1
    assert "the two differ by 20% of the largest entry of the output" in said[0]
    assert _said(lambda: derivatives.gradient(problem, population, batch))[1] == []


class Shifted(nn.Module):
    """Stacked, its running statistics are those of other activations."""

    def __init__(self, *, right: bool = False) -> None:
        super().__init__()
        self.first, self.norm, self.out, self.right = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3), right

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        return self.out(self.norm(z + 1 if _vmapped(z) and not self.right else z))


def test_running_statistics_that_differ_are_made_anew() -> None:
    data = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    problem, right = Problem(Shifted, data), Problem(lambda: Shifted(right=True), data)
    found, said = _said(
        lambda: tw.evaluation.recomputed(problem, problem.initialize(3), plan=Plan("stacked", 0), on="train")
    )
    assert len(said) == 1
    assert "in running statistics differ" in said[0]
    wanted = tw.evaluation.recomputed(right, right.initialize(3), plan="looped", on="train")
    for name, buffer in wanted.buffers.items():
        assert torch.equal(found.buffers[name], buffer)


def test_values_of_a_loss_that_differ_are_evaluated_anew() -> None:
    late = False  # what the checks of a loss see is right

    def biased(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, reduction="none") * (1.5 if late and _vmapped(output) else 1.0)

    data = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    problem, right = Problem(lambda: nn.Linear(4, 3), data, biased), Problem(lambda: nn.Linear(4, 3), data)
    problem.draws(training=False)
    population, late = problem.initialize(4), True
    found, said = _said(lambda: tw.evaluate(problem, population, plan="stacked")["loss"])
    assert len(said) == 1
    assert "of the loss; evaluated anew, looped" in said[0]
    torch.testing.assert_close(found, tw.evaluate(right, population, plan="looped")["loss"])
