"""Optimizers of torch's interface as rules: the same path as alone, resumed exactly, members apart."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_optimizer
import schedulefree
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.errors import UsageError
from thalweg.schedules import Cosine

X = torch.randn(40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3
RATES = [1e-3, 0.05]
STEPS = 12


class Rebinding(torch.optim.Optimizer):
    """Keeps new tensors in place of old ones, a Python number of each parameter, and one of its group."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "calls": 0, "total": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["calls"] += 1
            group["total"] += group["lr"]
            for p in group["params"]:
                state = self.state[p]
                state["count"] = state.get("count", 0) + 1
                state["mean"] = state.get("mean", torch.zeros_like(p)) * 0.9 + p.grad
                p -= group["lr"] * state["mean"] / (state["count"] * group["calls"]) ** 0.25 / (1 + group["total"])


class Replacing(torch.optim.Optimizer):
    """Puts a new tensor in the place of every parameter's memory."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data - group["lr"] * p.grad


class Keeping(torch.optim.Optimizer):
    """Keeps things in places of its own; `how` says where."""

    def __init__(self, params: Any, how: str) -> None:
        super().__init__(params, {"lr": 0.1, "seen": (0,)})
        self.how, self.count = how, 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.count += self.how == "attribute"
        for group in self.param_groups:
            group["seen"] = (group["seen"][0] + (self.how == "group"),)
            for p in group["params"]:
                if self.how == "list":
                    self.state[p].setdefault("gradients", []).append(p.grad.clone())
                elif self.how == "late" and "first" in self.state[p]:
                    self.state[p]["second"] = torch.zeros_like(p)
                self.state[p]["first"] = 1


MAKES: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd with momentum": lambda p: torch.optim.SGD(p, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p),
    "radam": lambda p: torch.optim.RAdam(p),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adafactor": lambda p: torch.optim.Adafactor(p),
    "two groups": lambda p: torch.optim.NAdam([{"params": p[:1], "weight_decay": 0.1}, {"params": p[1:]}]),
    "lamb of another library": lambda p: pytorch_optimizer.Lamb(p),
    "one that rebinds": lambda p: Rebinding(p),
    "one with new memory": lambda p: Replacing(p),
    "groups by place": lambda p: torch.optim.SGD([{"params": p[2:]}, {"params": [p[1], p[0]], "momentum": 0.9}]),
}


def _problem() -> tw.Problem:
    return tw.Problem(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), (X, Y), dtype=torch.float64)


def _recipe(name: str) -> tw.Recipe:
    return tw.Recipe(optim.TorchOptimizer(sweep.values(RATES), MAKES[name]), STEPS, schedule=Cosine())


@pytest.mark.parametrize("name", MAKES)
def test_members_go_the_way_of_the_optimizer_alone(name: str) -> None:
    problem = _problem()
    run = tw.train(problem, _recipe(name), [0, 7])
    for member in range(4):
        rate, seed = float(run.axes["lr"][member]), int(run.axes["seed"][member])
        module = problem.initialize([seed]).module(0)
        optimizer = MAKES[name](list(module.parameters()))
        for step in range(1, STEPS + 1):
            for group in optimizer.param_groups:
                group["lr"] = rate * float(Cosine()(step, STEPS))
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X), Y).backward()
            optimizer.step()
        expected = torch.cat([p.detach().flatten() for p in module.parameters()])
        torch.testing.assert_close(run.final.theta[member], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MAKES)
def test_two_halves_are_the_whole(name: str, tmp_path: Any) -> None:
    problem = _problem()
    whole = tw.train(problem, _recipe(name), [0, 7], plan="looped")
    half = tw.train(problem, _recipe(name), [0, 7], plan="looped", until=5, store=tmp_path, name="it")
    assert half.step == 5
    again = tw.train(_problem(), _recipe(name), [0, 7], plan="looped", store=tmp_path, name="it")
    assert torch.equal(again.final.theta, whole.final.theta)
    other = tw.train(problem, _recipe(name), [0, 7], resume=half)
    assert torch.equal(other.final.theta, whole.final.theta)


def test_a_member_that_diverges_leaves_the_others_their_bits() -> None:
    calm = tw.train(
        _problem(), tw.Recipe(optim.TorchOptimizer(0.05, MAKES["sgd with momentum"]), STEPS), [0], plan="looped"
    )
    wild = tw.Recipe(optim.TorchOptimizer(sweep.values([0.05, 1e308]), MAKES["sgd with momentum"]), STEPS)
    both = tw.train(_problem(), wild, [0], plan="looped")
    assert both.diverged_at.tolist()[0] == -1
    assert both.diverged_at.tolist()[1] > 0
    assert torch.equal(both.final.theta[:1], calm.final.theta)


def test_wrappers_of_rules_wrap_it_too() -> None:
    rule = optim.Averaged(optim.Centralized(optim.TorchOptimizer(0.1, MAKES["sgd with momentum"])), 0.5)
    own = optim.Averaged(optim.Centralized(optim.Momentum(0.1)), 0.5)
    first, second = (tw.train(_problem(), tw.Recipe(each, STEPS), [0]) for each in (rule, own))
    torch.testing.assert_close(
        first.averaged(_problem()).theta, second.averaged(_problem()).theta, rtol=1e-10, atol=1e-12
    )


def test_it_says_what_it_is_as_json() -> None:
    described = json.loads(json.dumps(_recipe("adam").describe()))["optimizer"]
    assert described["what"].startswith("torch.optim.adam.Adam(")
    assert "betas=(0.9, 0.999)" in described["what"]
    assert "make" not in described
    assert (
        optim.TorchOptimizer(0.1, MAKES["adam"]).what
        != optim.TorchOptimizer(0.1, lambda p: torch.optim.Adam(p, eps=1e-3)).what
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: nn.Linear(2, 2), "must return a torch.optim.Optimizer.*got Linear"),
        (lambda p: schedulefree.SGDScheduleFree(p), "has modes"),
    ],
)
def test_what_is_no_optimizer_is_refused(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        optim.TorchOptimizer(0.1, make)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("list", r"Keeping changes \"state\[parameter\]\['gradients'\]\""),
        ("attribute", "Keeping changes 'count'"),
        ("group", r"Keeping changes \"param_groups\[0\]\['seen'\]\""),
        ("late", "Keeping makes 'second' later than in its first step"),
    ],
)
def test_what_could_not_be_resumed_is_refused(how: str, words: str) -> None:
    recipe = tw.Recipe(optim.TorchOptimizer(0.1, lambda p: Keeping(p, how)), STEPS)
    with pytest.raises(UsageError, match=words + ", so its runs could not be resumed"):
        tw.train(_problem(), recipe)


def test_a_maker_that_fails_on_the_model_says_so() -> None:
    recipe = tw.Recipe(optim.TorchOptimizer(0.1, lambda p: torch.optim.SGD([p[7]])), STEPS)
    with pytest.raises(UsageError, match=r"TorchOptimizer make fails on parameters \[\(5, 4\), .*IndexError"):
        tw.train(_problem(), recipe)


def test_one_cannot_be_a_fallback() -> None:
    with pytest.raises(UsageError, match=r"Muon fallback must be elementwise .* got Torch"):
        optim.Muon(0.1, fallback=optim.TorchOptimizer(0.1, MAKES["adam"]))


class Asking(torch.optim.Optimizer):
    """Takes its gradients twice, as implementations of SAM do."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        assert closure is not None
        for _ in range(2):
            closure()
            for group in self.param_groups:
                for p in group["params"]:
                    p -= group["lr"] * p.grad


class Wrong(torch.optim.Optimizer):
    """Has a fault that is no missing closure."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:
        self.param_groups[0]["lr"] + "a"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: torch.optim.LBFGS(p), "LBFGS cannot step without a closure"),
        (lambda p: Asking(p), "Asking cannot step without a closure .AssertionError"),
        (lambda p: Wrong(p), r"Wrong cannot step on gradients of \[\(5, 4\), .*TypeError: unsupported operand"),
        (lambda p: torch.optim.SparseAdam(p), "SparseAdam cannot step on gradients of .*does not support dense"),
    ],
)
def test_one_that_cannot_step_says_why(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tw.train(_problem(), tw.Recipe(optim.TorchOptimizer(0.1, make), 2), [0])


class Mixed(torch.optim.Optimizer):
    """Momentum that keeps one parameter's velocity in float64 and the next one's in 16 bits."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for index, p in enumerate(group["params"]):
                state = self.state[p]
                state["v"] = 0.9 * state.get("v", 0 * p).double() + p.grad
                p -= group["lr"] * state["v"]
                state["v"] = state["v"].to(torch.bfloat16 if index % 2 else torch.float64)


def test_what_is_kept_in_several_precisions_is_not_rounded(tmp_path: Any) -> None:
    problem, recipe = _problem(), tw.Recipe(optim.TorchOptimizer(0.1, lambda p: Mixed(p)), STEPS)
    run = tw.train(problem, recipe, [0], plan="looped")
    module = problem.initialize([0]).module(0)
    optimizer = Mixed(list(module.parameters()))
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), Y).backward()
        optimizer.step()
    expected = torch.cat([p.detach().flatten() for p in module.parameters()])
    torch.testing.assert_close(run.final.theta[0], expected, rtol=1e-10, atol=1e-12)
    half = tw.train(problem, recipe, [0], plan="looped", until=5, store=tmp_path, name="it")
    assert half.step == 5
    again = tw.train(_problem(), recipe, [0], plan="looped", store=tmp_path, name="it")
    assert torch.equal(again.final.theta, run.final.theta)


def test_gradients_handed_over_are_of_their_own() -> None:
    theta: Tensor = torch.ones(1, 43, dtype=torch.float64)
    updater = optim.Updater(optim.TorchOptimizer(0.1, MAKES["sgd with momentum"]), theta, layout=_problem().layout)
    gradient = torch.ones_like(theta)
    updater.step(gradient, optim.StepHyperparameters({"lr": 0.1, "weight_decay": 0.0, "schedule": 1.0}, 1))
    gradient.fill_(torch.nan)
    updater.step(
        torch.ones_like(theta), optim.StepHyperparameters({"lr": 0.1, "weight_decay": 0.0, "schedule": 1.0}, 2)
    )
    torch.testing.assert_close(theta, torch.full_like(theta, 1 - 0.1 - 0.19))


def test_groups_with_rates_of_their_own_are_refused() -> None:
    def groups(p: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": p[:1], "lr": 0.0}, {"params": p[1:], "lr": 0.5}])

    problem = tw.Problem(lambda: nn.Linear(4, 3), (torch.ones(20, 4), torch.arange(20) % 3))
    with pytest.raises(UsageError, match=r"groups of SGD have rates 0, 0\.5; TorchOptimizer gives all of them its lr"):
        tw.train(problem, tw.Recipe(optim.TorchOptimizer(0.1, groups), 2))
