"""Which models and losses are called in several threads without being asked."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from cases import X, Y
from torch import nn
from torch.overrides import TorchFunctionMode

import thalweg as tw
from thalweg.population import Batch, Execution, Plan, Problem, choose

pytestmark = pytest.mark.usefixtures("two_threads")


def _shared_batch(problem: Problem) -> Batch:
    return Batch.range(problem.data.train, 0, 7)


class Mine(nn.Linear):
    pass


def _hooked() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.register_forward_hook(lambda module, inputs, output: None)
    return layer


def _replaced() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.forward = lambda x: torch.nn.functional.linear(x, layer.weight)  # type: ignore[method-assign]
    return layer


def _parametrized() -> nn.Module:
    layer = nn.Linear(4, 3)
    nn.utils.parametrize.register_parametrization(layer, "weight", nn.Tanh())
    return layer


def _with_function() -> nn.Module:
    return nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, activation=lambda x: x.relu(), batch_first=True)


class Weighted(tw.losses.SquaredError):
    pass


def _plain(**changes: Any) -> Problem:
    return Problem(**{"model": lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()), "data": (X, Y)} | changes)


OF_THE_USER = {
    "layer": lambda: _plain(model=lambda: nn.Sequential(nn.Linear(4, 3), Mine(3, 3))),
    "hook": lambda: _plain(model=_hooked),
    "forward": lambda: _plain(model=_replaced),
    "parametrization": lambda: _plain(model=_parametrized),
    "activation": lambda: _plain(model=_with_function, data=(X[:, None], X[:, None]), loss="squared_error"),
    "loss": lambda: _plain(loss=lambda output, target: nn.functional.cross_entropy(output, target)),
    "module as loss": lambda: _plain(loss=nn.CrossEntropyLoss()),
    "kind of loss": lambda: _plain(data=(X, X[:, :3]), loss=Weighted()),
}


def _measured_in_threads(problem: Problem) -> bool:
    plan = choose(problem, problem.initialize(4).copy(), _shared_batch(problem))
    return any("threads" in name for name in plan.seconds)


@pytest.mark.parametrize("what", OF_THE_USER)
def test_what_the_user_wrote_is_not_called_in_threads_without_being_asked(what: str) -> None:
    assert not _measured_in_threads(OF_THE_USER[what]())


def test_layers_and_losses_of_torchs_and_thalwegs_own_are() -> None:
    tokens = torch.randint(5, (24, 6), generator=torch.Generator().manual_seed(0))
    for problem in (
        _plain(),
        _plain(data=(X, X[:, :3]), loss="squared_error"),
        _plain(model=lambda: tw.nets.transformer(5, 6, 4, 2, 1), data=(tokens, tokens)),
        _plain(
            model=lambda: nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True),
            data=(X[:, None], X[:, None]),
            loss="squared_error",
        ),
    ):
        assert _measured_in_threads(problem)


def test_hooks_of_all_modules_keep_threads_away() -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)
    try:
        assert not _measured_in_threads(_plain())
    finally:
        handle.remove()


class Counting(TorchFunctionMode):
    """Counts the products that it sees."""

    seen = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += func is nn.functional.linear
        return func(*args, **(kwargs or {}))


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "functions": Counting,
    "saved tensors": lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x * 2, lambda x: x),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_the_calling_thread_hold_for_all_members(mode: str) -> None:
    problem = _plain()
    population, batch, found = problem.initialize(4), _shared_batch(problem), []
    taken = [Execution(problem, population, batch, plan=Plan("looped", 1, threads=count)) for count in (1, 2)]
    for execution_of in taken:
        out = torch.empty_like(population.theta)
        with MODES[mode]() as counting:
            execution_of.gradient(batch, out)
        found.append(out)
        if mode == "functions":
            assert counting.seen == 4
    assert torch.equal(found[0], found[1])
    if mode != "functions":
        plain = torch.empty_like(population.theta)
        taken[0].gradient(batch, plain)
        assert not torch.equal(found[0], plain)
    with MODES[mode]():
        if mode == "autocast":
            with pytest.raises(tw.UsageError, match=r"choose inside torch\.autocast would compute in torch\.bfloat16"):
                choose(problem, population, batch)
        else:
            assert not _measured_in_threads(problem)
    assert _measured_in_threads(problem)
