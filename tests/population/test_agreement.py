"""What is rounding, and what is another function."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, Execution, Plan, Problem, choose
from thalweg.population.agreement import Difference, Named, compare, tolerance
from thalweg.population.alone import Alone
from thalweg.population.looped import Looped
from thalweg.population.stacked import Stacked
from thalweg.population.trial import Trial

X, Y = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
MEMBERS = 4


def _within_vmap() -> bool:
    return torch._C._functorch.maybe_current_level() is not None


class Tiny(nn.Module):
    """The gradient of one tensor is a millionth of the others', and wrong where members are stacked."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.large, self.tiny, self.right = nn.Linear(4, 3), nn.Linear(4, 3, bias=False), right

    def forward(self, x: Tensor) -> Tensor:
        x = x.cumsum(-1)  # which is vmapped
        small = 1e-6 * self.tiny(x)
        return self.large(x) + (small if self.right or not _within_vmap() else 1.01 * small)


class Silent(nn.Module):
    """A gradient that is zero, to the bit, is not where members are stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.still = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.large(x.sin()) + (1e-9 if _within_vmap() else 0.0) * self.still


class Canceled(nn.Module):
    """The gradient of a bias before a normalization is zero but for rounding, which is another in every kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.norm(self.first(x) * 100)))


class Kinked(nn.Module):
    """Many units are at their kink to rounding, which opens or closes them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 64, bias=False), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        flat = torch.einsum("...i,oi->...o", x, self.first.weight)  # the same by another kernel
        return self.last(torch.relu(z - flat) * 1e6 + 0.1 * z)


class Single(nn.Module):
    """Normalizes in float32, or in bfloat16, whatever it is given."""

    def __init__(self, dtype: torch.dtype, *, right: bool = True) -> None:
        super().__init__()
        self.first, self.last, self.dtype, self.right = nn.Linear(4, 16), nn.Linear(16, 3), dtype, right

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x).to(self.dtype)
        flat = z.cumsum(-1) * z.square().mean(-1, keepdim=True).add(1e-3).rsqrt()
        if _within_vmap() and not self.right:
            flat = 1.5 * flat
        return self.last(flat.to(x.dtype))


@pytest.mark.parametrize(("inner", "outer"), [(torch.float32, torch.float64), (torch.bfloat16, torch.float32)])
def test_rounding_is_that_of_the_coarsest_numbers_that_are_computed_with(
    inner: torch.dtype, outer: torch.dtype
) -> None:
    problem = Problem(lambda: Single(inner), (X, Y), dtype=outer)
    choose(problem, problem.initialize(MEMBERS), Batch.range(problem.data.train, 0, 32), "stacked")
    assert problem.precision == inner
    tw.curvature.hessian(problem, problem.initialize(MEMBERS))  # warnings are errors
    wrong = Problem(lambda: Single(inner, right=False), (X, Y), dtype=outer)
    with pytest.raises(ModelError, match="stacked results differ"):
        choose(wrong, wrong.initialize(MEMBERS), Batch.range(wrong.data.train, 0, 32), "stacked")
    assert Problem(lambda: nn.Linear(4, 3), (X, Y), dtype=outer).precision == outer


def _trials(problem: Problem) -> list[Trial]:
    population = problem.initialize(MEMBERS).copy()
    batch = Batch.range(problem.data.train, 0, 32)
    trials = [Trial(problem, population, batch, kind, MEMBERS, training=True) for kind in (Stacked, Looped)]
    for trial in trials:
        trial.run()
    return trials


def _difference(problem: Problem) -> Difference | None:
    stacked, looped = _trials(problem)
    return stacked.difference(looped)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_tensor_is_judged_on_its_own_scale(dtype: torch.dtype) -> None:
    assert _difference(Problem(lambda: Tiny(right=True), (X, Y), dtype=dtype)) is None
    found = _difference(Problem(lambda: Tiny(right=False), (X, Y), dtype=dtype))
    assert found.name == "the gradient of 'tiny.weight'"
    assert found.kind == "wrong"
    assert 0.005 < found.share < 0.02


def test_what_is_zero_to_the_bit_stays_so() -> None:
    found = _difference(Problem(Silent, (X, Y)))
    assert (found.name, found.kind) == ("the gradient of 'still'", "wrong")


@pytest.mark.parametrize("model", [Canceled, Kinked])
def test_rounding_is_called_rounding(model: type[nn.Module]) -> None:
    problem = Problem(model, (X, Y))
    found = _difference(problem)
    assert found is None or found.rounding
    population, batch = problem.initialize(MEMBERS), Batch.range(problem.data.train, 0, 32)
    plan = choose(problem, population, batch, "stacked")
    assert plan.mode == "stacked"
    assert found is None or "rounding" in plan.reason


def test_a_gradient_of_rounding_alone_is_far_from_itself_and_costs_one_more_call() -> None:
    trials = _trials(Problem(Canceled, (X, Y)))
    one, other = (trial.results["the gradient of 'first.bias'"] for trial in trials)
    assert float((one - other).abs().max() / other.abs().max()) > 1e-3
    assert trials[0].difference(trials[1]) is None
    calls = 0

    def moved(size: float, draw: int) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        stream = torch.Generator().manual_seed(draw)
        moves = {name: torch.randn(tensor.shape, generator=stream) for name, tensor in trials[1].results.items()}
        return {name: tensor + 1e-6 * moves[name] for name, tensor in trials[1].results.items()}

    assert compare(trials[0].results, trials[1].results, moved, torch.float32) is None
    assert calls == 1


def test_a_model_that_is_no_function_is_called_so() -> None:
    draws = iter(range(1000))

    def again(size: float, draw: int) -> dict[str, Tensor]:
        return {"loss": torch.tensor([[1.0 + next(draws)]])}

    found = compare({"loss": torch.tensor([[3.0]])}, {"loss": torch.tensor([[1.5]])}, again, torch.float32)
    assert found.kind == "restless"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_finite_in_both_agrees(dtype: torch.dtype) -> None:
    def never(size: float, draw: int) -> dict[str, Tensor]:
        pytest.fail("there is nothing to look at again")

    nan, inf, large = torch.nan, torch.inf, torch.finfo(dtype).max * 0.9
    lost = {"loss": [[nan]], "gradient": [[1.0, nan]]}, {"loss": [[inf]], "gradient": [[2.0, 3.0]]}
    over = {"loss": [[1.0]], "gradient": [[1.0, inf]]}, {"loss": [[1.0]], "gradient": [[1.0, large]]}
    for one, other in (lost, over):
        first, second = ({name: torch.tensor(v, dtype=dtype) for name, v in of.items()} for of in (one, other))
        assert compare(first, second, never, dtype) is None


def test_one_member_that_is_wrong_among_others_is_found() -> None:
    wanted = torch.randn(4, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = wanted.clone()
    found[2, 5, 1] += 1e-4

    def again(size: float, draw: int) -> dict[str, Tensor]:
        noise = torch.randn(wanted.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(draw))
        return {"the output": wanted * (1 + size * noise)}

    off = compare({"the output": found}, {"the output": wanted}, again, torch.float64)
    assert off.kind == "wrong"
    assert off.share == pytest.approx(1e-4 / float(wanted[2].abs().max()), rel=0.1)
    assert tolerance(torch.float64) < 1e-10


class Hooked(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        self[2].register_full_backward_hook(lambda module, into, out: (into[0] * 0.1,))


def test_backward_hooks_are_looped_by_name() -> None:
    problem = Problem(Hooked, (X, Y))
    population, batch = problem.initialize(MEMBERS), Batch.range(problem.data.train, 0, 32)
    plan = choose(problem, population, batch)
    assert plan == Plan("looped", 1, "the model has a backward hook on '2', which vmap does not call")
    for forced in ("stacked", Plan("stacked")):
        with pytest.raises(UsageError, match=r"backward hook on '2', .*; remove the hook, or write plan=\"looped\""):
            Execution(problem, population, batch, plan=forced)


def test_a_forced_plan_is_checked() -> None:
    problem = Problem(lambda: Tiny(right=False), (X, Y))
    population, batch = problem.initialize(MEMBERS), Batch.range(problem.data.train, 0, 32)
    with pytest.raises(ModelError, match=r"asked for, but stacked results differ .* of 'tiny.weight'; write plan="):
        choose(problem, population, batch, "stacked")
    assert choose(problem, population, batch).reason.startswith("stacked results differ from those of the plain module")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [14.0, 15.0, 16.0])
def test_small_losses_are_rounded_one_way_by_another_kernel(size: float, dtype: torch.dtype) -> None:
    size *= 1 if dtype is torch.float32 else 2
    draw = torch.Generator().manual_seed(1)
    classes = torch.randint(31, (1000,), generator=draw)
    inputs = (F.one_hot(classes, 31) + 0.01 * torch.randn(1000, 31, generator=draw)).to(dtype)
    problem = Problem(lambda: nn.Linear(31, 31, bias=False).to(dtype), (inputs, classes))
    scaled = size * torch.eye(31, dtype=dtype)
    population = problem.initialize(1).with_theta(scaled.reshape(1, -1))
    batch = Batch.range(problem.data.train, 0, 1000)
    alone = Alone(problem, population, training=True)
    wanted = alone.results(batch)

    def again(size: float, draw: int) -> Named:
        return alone.moved(population, batch, size, draw)

    weight = scaled.requires_grad_()
    outputs = (inputs @ weight.T).T.contiguous().unsqueeze(0)  # which torch takes examples in a row, not classes
    loss = F.cross_entropy(outputs, classes.unsqueeze(0), reduction="none").mean()
    (gradient,) = torch.autograd.grad(loss, weight)
    of_weight = "the gradient of 'weight'"
    off = compare({"loss": loss.reshape(1, 1), of_weight: gradient.unsqueeze(0)}, wanted, again, dtype)
    assert off is None or off.rounding
    off = compare(wanted | {of_weight: 1.2 * wanted[of_weight]}, wanted, again, dtype)
    assert (off.kind, off.name) == ("wrong", of_weight)
    wrong = compare(wanted | {"loss": 1.1 * wanted["loss"]}, wanted, again, dtype)
    assert (wrong.kind, wrong.name) == ("wrong", "loss")
