"""Rules that keep factors or a number a member, against the code of others and loops by hand, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_optimizer
import schedulefree
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.optim import StepHyperparameters, Updater
from thalweg.optim.soap import eigenbasis
from thalweg.population import Layout


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Small(nn.Module):
    """Matrices, vectors and a matrix of one row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 1)


LAYOUT = Layout.of(Small())
MEMBERS, STEPS = 3, 25
GRADIENTS = [_random(MEMBERS, LAYOUT.parameters, seed=10 + t) for t in range(STEPS)]


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _trained(rule: optim.Rule, columns: dict[str, list[float]], gradient: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Theta after all steps, members with values of their own; the gradient is asked where the rule wants it."""
    theta = _random(MEMBERS, LAYOUT.parameters)
    updater = Updater(rule, theta, layout=LAYOUT)
    point = theta.clone()
    for step in range(1, STEPS + 1):
        swept = {name: _column(values) for name, values in columns.items()}
        h = StepHyperparameters(rule.hyper_parameters() | swept | {"schedule": 1.0}, step)
        if rule.looks_ahead:
            updater.look_ahead(h, out=point)
        updater.step(gradient(point if rule.looks_ahead else theta, step), h)
    return theta


def _by_peer(make: Callable[..., Any], member: int, gradient: Callable[[Tensor, int], Tensor]) -> dict[str, Tensor]:
    """The parameters of one member after all steps of another library's optimizer."""
    start = LAYOUT.views(_random(MEMBERS, LAYOUT.parameters)[member])
    parameters = {name: nn.Parameter(tensor.clone()) for name, tensor in start.items()}
    peer = make(list(parameters.values()))
    if hasattr(peer, "train"):
        peer.train()
    for step in range(1, STEPS + 1):
        now = LAYOUT.pack({name: parameter.detach() for name, parameter in parameters.items()})
        pieces = LAYOUT.views(gradient(now[None].expand(MEMBERS, -1), step)[member].clone())
        for name, parameter in parameters.items():
            parameter.grad = pieces[name].clone()
        peer.step()
    if hasattr(peer, "eval"):
        peer.eval()
    return {name: parameter.detach() for name, parameter in parameters.items()}


def _given(theta: Tensor, step: int) -> Tensor:
    return GRADIENTS[step - 1].clone()


def _bowl(theta: Tensor, step: int) -> Tensor:
    """The gradient of a quadratic, with noise."""
    curvature = torch.linspace(0.1, 2, LAYOUT.parameters, dtype=torch.float64)
    return curvature * theta + 0.1 * GRADIENTS[step - 1]


def _equal(theta: Tensor, member: int, expected: dict[str, Tensor], names: list[str] | None = None) -> None:
    for name, tensor in LAYOUT.views(theta[member]).items():
        if names is None or name in names:
            torch.testing.assert_close(
                tensor, expected[name], rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_adafactor_equals_torchs() -> None:
    lrs, decays, clips = [0.02, 0.5, 1e-3], [0.0, 0.1, 0.3], [1.0, 1.1, 2.0]
    theta = _trained(optim.Adafactor(0.01), {"lr": lrs, "weight_decay": decays, "clip": clips}, _given)
    for member in range(MEMBERS):
        lr, decay, clip = lrs[member], decays[member], clips[member]
        make = lambda p: torch.optim.Adafactor(p, lr, weight_decay=decay, d=clip)  # noqa: B023, E731
        _equal(theta, member, _by_peer(make, member, _given))


def test_soap_equals_its_peer_until_the_bases_turn() -> None:
    lrs, betas = [3e-3, 0.1, 0.02], [0.95, 0.5, 0.9]
    rule = optim.SOAP(3e-3, every=STEPS, weight_decay=0.0)
    theta = _trained(rule, {"lr": lrs, "beta1": betas}, _given)
    for member in range(MEMBERS):
        lr, beta = lrs[member], betas[member]
        make = lambda p: pytorch_optimizer.SOAP(  # noqa: E731
            p,
            lr,  # noqa: B023
            (beta, 0.95),  # noqa: B023
            weight_decay=0.0,
            precondition_frequency=STEPS,
        )
        _equal(theta, member, _by_peer(make, member, _given), ["first.weight"])


def _soap_by_hand(matrix: np.ndarray, gradients: list[np.ndarray], lr: float, every: int) -> np.ndarray:
    """SOAP with beta 0.95 throughout, step by step from the paper's algorithm 3."""
    rows, columns = matrix.shape
    left, right, m, v = np.zeros((rows, rows)), np.zeros((columns, columns)), 0 * matrix, 0 * matrix
    bases: list[np.ndarray] = []
    for t, g in enumerate(gradients):
        if t > 0:
            m, inside = 0.95 * m + 0.05 * g, bases[0].T @ g @ bases[1]
            v = 0.95 * v + 0.05 * inside**2
            correction = (1 - 0.95**t) ** 0.5 / (1 - 0.95**t)
            step = (bases[0].T @ m @ bases[1]) / (v**0.5 + 1e-8)
            matrix = matrix - lr * correction * bases[0] @ step @ bases[1].T
        left, right = 0.95 * left + 0.05 * g @ g.T, 0.95 * right + 0.05 * g.T @ g
        if t == 0:
            bases = [np.linalg.eigh(each)[1][:, ::-1] for each in (left, right)]
        elif t % every == 0:
            for side, covariance in enumerate((left, right)):
                order = np.argsort(-np.diag(bases[side].T @ covariance @ bases[side]))
                v = v[order] if side == 0 else v[:, order]
                ridge = np.finfo(float).eps ** 0.5 * np.trace(covariance) * np.eye(len(covariance))
                bases[side] = np.linalg.qr((covariance + ridge) @ bases[side][:, order])[0]
    return matrix


def test_soap_with_turning_bases_equals_a_loop_by_hand() -> None:
    theta = _trained(optim.SOAP(0.05, every=3, weight_decay=0.0), {}, _given)
    entry = LAYOUT["first.weight"]
    for member in range(MEMBERS):
        gradients = [gradient[member, entry.columns].view(4, 5).numpy() for gradient in GRADIENTS]
        start = _random(MEMBERS, LAYOUT.parameters)[member, entry.columns].view(4, 5).numpy()
        got = theta[member, entry.columns].view(4, 5).numpy()
        np.testing.assert_allclose(got, _soap_by_hand(start, gradients, 0.05, 3), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_first_basis_diagonalizes_and_does_not_hang_on_rounding(rank: int) -> None:
    factor = _random(2, 6, rank)
    covariance = factor @ factor.mT
    basis = eigenbasis(covariance)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(6, dtype=torch.float64).expand(2, 6, 6))
    inside = basis.mT @ covariance @ basis
    torch.testing.assert_close(inside, torch.diag_embed(inside.diagonal(dim1=1, dim2=2)), rtol=0, atol=1e-12)
    assert (inside.diagonal(dim1=1, dim2=2).diff() < 1e-12).all()  # falling
    noise = 1e-15 * _random(2, 6, 6, seed=1)
    other = eigenbasis(covariance + noise + noise.mT)
    torch.testing.assert_close(
        (basis.mT @ other).abs(), torch.eye(6, dtype=torch.float64).expand(2, 6, 6), atol=1e-9, rtol=0
    )


def test_what_soap_does_not_take_follows_its_fallback() -> None:
    rule = optim.SOAP(0.05, largest=3, fallback=optim.Adam(0.01))
    theta = _trained(rule, {}, _given)
    plain = _trained(optim.Adam(0.01), {}, _given)
    small = [entry.name for entry in LAYOUT if entry.filters is None or max(entry.shape) > 3]
    assert small == [entry.name for entry in LAYOUT]
    torch.testing.assert_close(theta, plain, rtol=0, atol=0)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_schedule_free_equals_its_authors_average(decay: float) -> None:
    lrs, betas = [0.1, 0.3, 0.02], [0.9, 0.5, 0.98]
    swept = {"lr": lrs, "beta": betas}
    sgd = _trained(optim.ScheduleFreeSGD(0.1, weight_decay=decay), swept, _bowl)
    adam = _trained(optim.ScheduleFreeAdamW(0.1, weight_decay=decay), swept, _bowl)
    for member in range(MEMBERS):
        lr, beta = lrs[member], betas[member]
        make = lambda p: schedulefree.SGDScheduleFree(p, lr, beta, weight_decay=decay, foreach=False)  # noqa: B023, E731
        _equal(sgd, member, _by_peer(make, member, _bowl))
        make = lambda p: schedulefree.AdamWScheduleFree(  # noqa: E731
            p,
            lr,  # noqa: B023
            (beta, 0.999),  # noqa: B023
            weight_decay=decay,
            foreach=False,
        )
        _equal(adam, member, _by_peer(make, member, _bowl))


def test_schedule_free_with_a_warmup_equals_its_authors() -> None:
    theta = _random(MEMBERS, LAYOUT.parameters)
    rule = optim.ScheduleFreeSGD(0.2)
    updater, point = Updater(rule, theta, layout=LAYOUT), theta.clone()
    for step in range(1, STEPS + 1):
        h = StepHyperparameters(
            {"lr": 0.2 * min(1, step / 10), "beta": 0.9, "weight_decay": 0.0, "schedule": 1.0}, step
        )
        updater.look_ahead(h, out=point)
        updater.step(_bowl(point, step), h)
    make = lambda p: schedulefree.SGDScheduleFree(p, 0.2, 0.9, warmup_steps=10, foreach=False)  # noqa: E731
    _equal(theta, 0, _by_peer(make, 0, _bowl))


def test_without_momentum_schedule_free_is_the_mean_of_the_path() -> None:
    theta = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    updater, point = Updater(optim.ScheduleFreeSGD(0.1, beta=0.0), theta), theta.clone()
    z, path = theta.clone(), []
    for step in range(1, 9):
        h = StepHyperparameters({"lr": 0.1, "beta": 0.0, "weight_decay": 0.0, "schedule": 1.0}, step)
        updater.look_ahead(h, out=point)
        torch.testing.assert_close(point, z)  # the gradient is that of SGD's own path
        updater.step(point * torch.tensor([1.0, 3.0]), h)
        z = z - 0.1 * z * torch.tensor([1.0, 3.0])
        path.append(z)
        torch.testing.assert_close(theta, torch.stack(path).mean(0))


def test_a_rate_of_zero_at_first_moves_nothing() -> None:
    theta = torch.ones(2, 3, dtype=torch.float64)
    updater = Updater(optim.ScheduleFreeSGD(0.0), theta)
    updater.step(
        torch.ones(2, 3, dtype=torch.float64), StepHyperparameters({"lr": 0.0, "beta": 0.9, "schedule": 1.0}, 1)
    )
    assert torch.equal(theta, torch.ones(2, 3, dtype=torch.float64))


RULES = {
    "soap": lambda: optim.SOAP(0.01, every=3),
    "adafactor": lambda: optim.Adafactor(0.01),
    "schedule-free": lambda: optim.ScheduleFreeAdamW(0.01, weight_decay=0.1),
    "muon over schedule-free": lambda: optim.Muon(0.02, fallback=optim.AdamW(1e-3)),
}


@pytest.mark.parametrize("name", RULES)
def test_a_dead_member_changes_nothing_and_stays(name: str) -> None:
    active = torch.tensor([True, False, True])
    theta, both = _random(MEMBERS, LAYOUT.parameters), _random(MEMBERS, LAYOUT.parameters)
    rule = RULES[name]()
    one, other = Updater(rule, theta, layout=LAYOUT), Updater(rule, both, layout=LAYOUT)
    for step in range(1, 6):
        h = StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0}, step)
        spoiled = _given(theta, step)
        spoiled[1] = torch.nan
        one.step(spoiled, h, active)
        other.step(_given(theta, step), h)
    assert torch.equal(theta[1], _random(MEMBERS, LAYOUT.parameters)[1])
    torch.testing.assert_close(theta[active], both[active], rtol=1e-12, atol=1e-14)
    for state in one.state.values():
        assert torch.isfinite(state).all()
        assert not state[1].any()


@pytest.mark.parametrize("name", RULES)
def test_two_halves_are_the_whole_and_a_member_alone_is_the_member_among_others(name: str, tmp_path: Any) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (_random(30, 4), torch.arange(30) % 3), dtype=torch.float64)
    recipe = tw.Recipe(RULES[name](), steps=8, batch_size=10)
    whole = tw.train(problem, recipe, [0, 1, 2], plan="looped")
    alone = tw.train(problem, recipe, [1], plan="looped")
    torch.testing.assert_close(whole.final.theta[1:2], alone.final.theta, rtol=1e-6, atol=1e-8)

    def stop(progress: Any) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tw.train(
            problem, recipe, [0, 1, 2], plan="looped", store=tmp_path, name="it", checkpoint_seconds=0.0, progress=stop
        )
    again = tw.train(problem, recipe, [0, 1, 2], plan="looped", store=tmp_path, name="it")
    assert torch.equal(again.final.theta, whole.final.theta)


def test_a_member_whose_covariance_overflows_spoils_no_other() -> None:
    theta, alone = _random(MEMBERS, LAYOUT.parameters).float(), _random(MEMBERS, LAYOUT.parameters).float()[:1]
    rule = optim.SOAP(0.01, every=1)
    updater, one = Updater(rule, theta, layout=LAYOUT), Updater(rule, alone, layout=LAYOUT)
    for step in range(1, 5):
        gradient = _given(theta, step).float()
        gradient[1] *= 1e30  # finite, but its square is not
        h = StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0}, step)
        one.step(gradient[:1].clone(), h)
        updater.step(gradient, h)
    torch.testing.assert_close(theta[:1], alone, rtol=1e-5, atol=1e-7)
    assert not torch.isfinite(theta[1]).all()  # so that the loop freezes it


def test_impossible_arguments_are_named() -> None:
    with pytest.raises(UsageError, match="SOAP every"):
        optim.SOAP(every=0)
    with pytest.raises(UsageError, match="SOAP fallback must be elementwise"):
        optim.SOAP(fallback=optim.Muon())
    with pytest.raises(UsageError, match="Muon fallback must be elementwise"):
        optim.Muon(fallback=optim.ScheduleFreeSGD())
    with pytest.raises(UsageError, match="beta_shampoo must lie"):
        optim.SOAP(beta_shampoo=1.0)
