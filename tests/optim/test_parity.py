"""64 members with numbers, seeds and masks of their own against 64 separate runs of torch.optim, in float64."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.randomness import generator
from thalweg.schedules import Cosine

CONFIGURATIONS, SEEDS, STEPS, BATCH, EXAMPLES = 16, [0, 3, 5, 11], 200, 8, 24
DRAW = torch.Generator().manual_seed(0)
X = torch.randn(EXAMPLES, 4, generator=DRAW, dtype=torch.float64)
Y = torch.randint(3, (EXAMPLES,), generator=DRAW)
MASKS = torch.rand(CONFIGURATIONS * len(SEEDS), 4 * 5 + 3 * 5, generator=DRAW) < 0.8


def _spread(low: float, high: float, seed: int) -> list[float]:
    return np.random.default_rng(seed).permutation(np.geomspace(low, high, CONFIGURATIONS)).tolist()


BETA = np.random.default_rng(1).permutation(np.linspace(0.2, 0.95, CONFIGURATIONS)).tolist()
SQUARE = np.random.default_rng(2).permutation(np.linspace(0.5, 0.999, CONFIGURATIONS)).tolist()
DECAY = [0.0, *_spread(1e-4, 1e-1, 3)[1:]]
EPS = _spread(1e-8, 1e-2, 4)


@dataclass(frozen=True)
class Peer:
    """A rule, its swept numbers, and the optimizer of torch that it equals."""

    rule: Callable[..., optim.Rule]
    numbers: dict[str, list[float]]
    torchs: Callable[..., torch.optim.Optimizer]


def _torch_sgd(parameters: Any, lr: float, beta: float = 0.0, weight_decay: float = 0.0, **more: Any) -> Any:
    return torch.optim.SGD(parameters, lr, momentum=beta, weight_decay=weight_decay, **more)


def _torch_dampened(parameters: Any, lr: float, beta: float, weight_decay: float) -> Any:
    return torch.optim.SGD(parameters, lr, momentum=beta, dampening=beta, weight_decay=weight_decay)


def _torch_adam(
    parameters: Any, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float = 0.0, kind: Any = None
) -> Any:
    return (kind or torch.optim.Adam)(parameters, lr, (beta1, beta2), eps, weight_decay)


_amsgrad = functools.partial(torch.optim.Adam, amsgrad=True)


class _ExactNAdam(torch.optim.NAdam):
    """torch keeps the product of its momenta in the default dtype, whatever the parameters are."""

    def step(self, closure: Any = None) -> Any:
        torch.set_default_dtype(torch.float64)
        try:
            return super().step(closure)
        finally:
            torch.set_default_dtype(torch.float32)


def _torch_nadam(
    parameters: Any, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, momentum_decay: float
) -> Any:
    return _ExactNAdam(parameters, lr, (beta1, beta2), eps, weight_decay, momentum_decay)


def _torch_adagrad(
    parameters: Any, lr: float, rate_decay: float, initial: float, eps: float, weight_decay: float
) -> Any:
    return torch.optim.Adagrad(parameters, lr, rate_decay, weight_decay, initial, eps)


_rates = functools.partial(_spread, seed=5)
_adam = {"lr": _rates(1e-3, 5e-2), "beta1": BETA, "beta2": SQUARE, "eps": EPS}
PEERS = {
    "sgd": Peer(optim.SGD, {"lr": _rates(1e-2, 0.5), "weight_decay": DECAY}, _torch_sgd),
    "momentum": Peer(optim.Momentum, {"lr": _rates(1e-2, 0.1), "beta": BETA, "weight_decay": DECAY}, _torch_sgd),
    "dampening": Peer(
        functools.partial(optim.Momentum, form="ema", start="first_gradient"),
        {"lr": _rates(1e-2, 0.5), "beta": BETA, "weight_decay": DECAY},
        _torch_dampened,
    ),
    "nesterov": Peer(
        functools.partial(optim.Nesterov, look="reformulated"),
        {"lr": _rates(1e-2, 0.1), "beta": BETA, "weight_decay": DECAY},
        functools.partial(_torch_sgd, nesterov=True),
    ),
    "rmsprop": Peer(
        optim.RMSprop,
        {"lr": _rates(1e-3, 2e-2), "alpha": SQUARE, "eps": EPS, "weight_decay": DECAY},
        torch.optim.RMSprop,
    ),
    "adam": Peer(optim.Adam, _adam, _torch_adam),
    "adam with l2": Peer(optim.Adam, _adam | {"weight_decay": DECAY}, _torch_adam),
    "adamw": Peer(optim.AdamW, _adam | {"weight_decay": DECAY}, functools.partial(_torch_adam, kind=torch.optim.AdamW)),
    "amsgrad": Peer(optim.AMSGrad, _adam, functools.partial(_torch_adam, kind=_amsgrad)),
    "nadam": Peer(
        optim.NAdam,
        _adam | {"momentum_decay": _spread(1e-3, 1e-1, 6), "weight_decay": DECAY},
        _torch_nadam,
    ),
    "adagrad": Peer(
        optim.Adagrad,
        {"lr": _rates(1e-3, 5e-2), "rate_decay": DECAY, "initial": EPS, "eps": EPS, "weight_decay": DECAY},
        _torch_adagrad,
    ),
}
over_peers = pytest.mark.parametrize("name", PEERS)


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 3, bias=False))


def _recipe(name: str, configurations: slice) -> tw.Recipe:
    swept = {k: sweep.values(v[configurations], axis="configuration") for k, v in PEERS[name].numbers.items()}
    return tw.Recipe(PEERS[name].rule(**swept), steps=STEPS, batch_size=BATCH, schedule=Cosine(warmup=20), evaluate=0)


def _multiplier(t: int) -> float:
    return min(1, t / 20) * 0.5 * (1 + math.cos(math.pi * max(0, t - 20) / (STEPS - 20)))


@functools.cache
def _stream(seed: int) -> tuple[Tensor, list[tuple[np.ndarray, np.ndarray]]]:
    """A seed's first weights, and its batches: inputs and one-hot targets."""
    start = tw.Problem(_model, (X, Y), dtype=torch.float64).initialize([seed]).theta[0]
    batches = []
    for t in range(STEPS):
        epoch, k = divmod(t, EXAMPLES // BATCH)
        order = torch.randperm(EXAMPLES, generator=generator(seed, "order", epoch))
        chosen = order[k * BATCH : (k + 1) * BATCH]
        batches.append((X[chosen].numpy(), np.eye(3)[Y[chosen]]))
    return start, batches


def _gradient(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy of softmax(W tanh(V x)), by hand: half the time of autograd on so small a net."""
    v, w = theta[:20].reshape(5, 4), theta[20:].reshape(3, 5)
    hidden = np.tanh(x @ v.T)
    odds = np.exp(hidden @ w.T)
    fault = (odds / odds.sum(1, keepdims=True) - y) / len(x)
    return np.concatenate([((fault @ w * (1 - hidden**2)).T @ x).ravel(), (fault.T @ hidden).ravel()])


def _torch_run(peer: Peer, member: int) -> Tensor:
    """One plain training loop: theta after all steps."""
    numbers, mask = {k: v[member // 4] for k, v in peer.numbers.items()}, MASKS[member].numpy()
    start, batches = _stream(SEEDS[member % 4])
    theta = nn.Parameter(start * MASKS[member])
    theta.grad = torch.zeros_like(theta)
    seen, gradient = theta.detach().numpy(), theta.grad.numpy()  # the same memory
    optimizer = peer.torchs([theta], **numbers)
    for t, (x, y) in enumerate(batches, 1):
        optimizer.param_groups[0]["lr"] = numbers["lr"] * _multiplier(t)
        gradient[:] = mask * _gradient(seen, x, y)
        optimizer.step()
    return theta.detach()


@functools.cache
def _torch_runs(name: str) -> Tensor:
    return torch.stack([_torch_run(PEERS[name], member) for member in range(len(MASKS))])


def _population(name: str, plan: str, configurations: slice = slice(None), seeds: list[int] = SEEDS) -> Tensor:
    problem = tw.Problem(_model, (X, Y), dtype=torch.float64)
    grid = np.arange(len(MASKS)).reshape(CONFIGURATIONS, len(SEEDS))
    rows = grid[configurations][:, [SEEDS.index(seed) for seed in seeds]].ravel()
    run = tw.train(problem, _recipe(name, configurations), seeds, mask=MASKS[rows], plan=plan)
    assert run.plan.mode == plan
    assert (run.final.theta[~MASKS[rows]] == 0).all()
    return run.final.theta


def _relative(got: Tensor, wanted: Tensor) -> float:
    """The largest distance of a member, in lengths of that member."""
    return float(((got - wanted).norm(dim=1) / wanted.norm(dim=1)).max())


@over_peers
def test_stacked_members_equal_separate_runs_of_torch(name: str) -> None:
    wanted = _torch_runs(name)
    assert wanted.isfinite().all()
    assert _relative(_population(name, "stacked"), wanted) < 1e-10


@over_peers
def test_looped_members_equal_separate_runs_of_torch(name: str) -> None:
    part = slice(None) if name == "adamw" else slice(0, 16, 8)  # gradients know nothing of the rule
    rows = np.arange(len(MASKS)).reshape(CONFIGURATIONS, -1)[part].ravel()
    assert _relative(_population(name, "looped", part), _torch_runs(name)[rows]) < 1e-10


@over_peers
def test_a_member_alone_equals_itself_among_others(name: str) -> None:
    for configuration, seed in ((2, 5), (13, 0)):
        alone = _population(name, "looped", slice(configuration, configuration + 1), [seed])
        member = 4 * configuration + SEEDS.index(seed)
        assert _relative(alone, _torch_runs(name)[[member]]) < 1e-10
    among = _population(name, "stacked", slice(2, 5))
    alone = _population(name, "stacked", slice(2, 3), [5])
    assert _relative(alone, among[[SEEDS.index(5)]]) < 1e-10
