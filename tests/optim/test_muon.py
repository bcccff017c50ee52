"""Muon against singular value decompositions, a loop by hand, torch's own and the laws of its iteration."""

from typing import Any

import pytest
import torch
from cases import CASE
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.optim import StepHyperparameters, Updater
from thalweg.optim.muon import orthogonalized
from thalweg.population import Layout


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3), (16, 15)])
def test_singular_values_end_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    values = torch.linspace(0.02, 1, min(shape), dtype=torch.float64)
    left, _, right = torch.linalg.svd(_random(*shape), full_matrices=False)
    matrix = left * values @ right
    got = orthogonalized(torch.stack([matrix, 1e-6 * matrix]))
    for each in got:
        s = torch.linalg.svdvals(each)
        assert 0.68 <= float(s.min()) <= float(s.max()) <= 1.14
        torch.testing.assert_close(
            left.mT @ each @ right.mT, torch.diag((left.mT @ each @ right.mT).diag()), atol=1e-9, rtol=0
        )
    torch.testing.assert_close(got[0], got[1], rtol=1e-9, atol=1e-12)  # whatever the scale


def test_it_turns_with_its_argument_and_leaves_zeros() -> None:
    matrix = _random(5, 7)
    q, _ = torch.linalg.qr(_random(5, 5, seed=1))
    p, _ = torch.linalg.qr(_random(7, 7, seed=2))
    torch.testing.assert_close(orthogonalized(q @ matrix @ p), q @ orthogonalized(matrix) @ p, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(orthogonalized(matrix.mT), orthogonalized(matrix).mT, rtol=1e-9, atol=1e-11)
    assert torch.equal(orthogonalized(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


class Small(nn.Module):
    """An embedding, a norm, a convolution and two linear layers, of which one is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.conv = nn.Embedding(6, 4), nn.Conv1d(4, 5, 3)
        self.hidden, self.norm, self.out = nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 2)


LAYOUT = Layout.of(Small())
MEMBERS, STEPS = 3, 6
LRS, BETAS, DECAYS = [0.1, 0.02, 0.3], [0.9, 0.95, 0.0], [0.0, 0.1, 0.3]
GRADIENTS = [_random(MEMBERS, LAYOUT.parameters, seed=10 + t) for t in range(STEPS)]
FALLBACK = {"lr": 0.01, "beta1": 0.8, "beta2": 0.9, "eps": 1e-8, "weight_decay": 0.2}


def _values(step: int) -> StepHyperparameters:
    column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None]  # noqa: E731
    numbers = {"lr": column(LRS), "beta": column(BETAS), "weight_decay": column(DECAYS), "schedule": 1.0}
    return StepHyperparameters(numbers | {f"fallback.{name}": value for name, value in FALLBACK.items()}, step)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", ["spectral", "rms"])
def test_hidden_matrices_follow_the_formula_and_the_rest_the_fallback(nesterov: bool, scale: str) -> None:
    theta = _random(MEMBERS, LAYOUT.parameters)
    start = theta.clone()
    fallback = optim.AdamW(0.01, 0.8, 0.9, weight_decay=0.2)
    updater = Updater(optim.Muon(0.1, nesterov=nesterov, scale=scale, fallback=fallback), theta, layout=LAYOUT)
    for step, gradient in enumerate(GRADIENTS, start=1):
        updater.step(gradient.clone(), _values(step))
    assert [entry.name for entry in LAYOUT if entry.kind == "hidden"] == ["conv.weight", "hidden.weight"]
    for entry in LAYOUT:
        for member in range(MEMBERS):
            got = theta[member, entry.columns]
            wanted = start[member, entry.columns].clone()
            pieces = [gradient[member, entry.columns] for gradient in GRADIENTS]
            if entry.kind == "hidden":
                _muon(wanted, pieces, entry.shape, member, nesterov, scale)
            else:
                _adamw(wanted, pieces)
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def _muon(w: Tensor, pieces: list[Tensor], shape: tuple[int, ...], member: int, nesterov: bool, scale: str) -> None:
    matrix, momentum = w.view(shape[0], -1), torch.zeros(shape[0], w.numel() // shape[0], dtype=torch.float64)
    rows, columns = matrix.shape
    beta, lr = BETAS[member], LRS[member]
    for piece in pieces:
        g = piece.view(rows, columns)
        momentum = beta * momentum + (1 - beta) * g
        u = (1 - beta) * g + beta * momentum if nesterov else momentum
        x = u / u.norm() if rows <= columns else u.T / u.norm()
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x - 4.7750 * a @ x + 2.0315 * a @ a @ x
        x = x if rows <= columns else x.T
        size = max(1, rows / columns) ** 0.5 if scale == "spectral" else 0.2 * max(rows, columns) ** 0.5
        matrix.mul_(1 - lr * DECAYS[member]).sub_(lr * size * x)


def _adamw(w: Tensor, pieces: list[Tensor]) -> None:
    parameter = nn.Parameter(w)
    other = torch.optim.AdamW([parameter], lr=0.01, betas=(0.8, 0.9), eps=1e-8, weight_decay=0.2)
    for piece in pieces:
        parameter.grad = piece.clone()
        other.step()


@pytest.mark.parametrize(("scale", "theirs"), [("spectral", "original"), ("rms", "match_rms_adamw")])
def test_a_step_is_torchs_to_its_sixteen_bits(scale: str, theirs: str) -> None:
    weight, piece = _random(12, 7).float(), _random(12, 7, seed=1).float()
    layout = Layout.of(nn.Sequential(nn.Linear(7, 12, bias=False), nn.Linear(12, 2, bias=False)))
    theta = torch.cat([weight.flatten(), torch.zeros(24)])[None]
    gradient = torch.cat([piece.flatten(), torch.zeros(24)])[None]
    h = {"lr": 0.1, "beta": 0.9, "weight_decay": 0.1, "schedule": 1.0} | {
        f"fallback.{k}": v for k, v in FALLBACK.items()
    }
    Updater(optim.Muon(0.1, scale=scale), theta, layout=layout).step(gradient, StepHyperparameters(h, 1))
    parameter = nn.Parameter(weight.clone())
    other = torch.optim.Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.1, adjust_lr_fn=theirs)
    parameter.grad = piece.clone()
    other.step()
    got, wanted = theta[0, :84].view(12, 7) - weight, parameter.detach() - weight
    rounded = orthogonalized(piece.bfloat16()).float() - orthogonalized(piece)
    error = float(rounded.norm() / orthogonalized(piece).norm())  # of sixteen bits, in this very iteration
    assert error < 0.1
    assert float((got - wanted).norm() / wanted.norm()) < 2 * error


def test_members_resume_and_die_alone_and_rates_are_scheduled() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    rule = optim.Muon(
        tw.sweep.values([0.01, 0.05]), fallback=optim.SGD([0.1, 0.2]), decay_on="hidden", weight_decay=0.1
    )
    recipe = tw.Recipe(rule, 8, 8, schedule=tw.schedules.Cosine())
    run = tw.train(problem, recipe, 2, plan="looped")
    assert (len(run.final), set(run.axes)) == (8, {"lr", "configuration", "fallback.lr", "seed"})
    alone = tw.train(
        problem,
        tw.Recipe(
            optim.Muon(0.05, fallback=optim.SGD(0.2), decay_on="hidden", weight_decay=0.1),
            8,
            8,
            schedule=tw.schedules.Cosine(),
        ),
        [1],
        plan="looped",
    )
    torch.testing.assert_close(run.final.theta[-1], alone.final.theta[0], rtol=1e-12, atol=1e-13)
    half = tw.train(problem, recipe, 2, plan="looped", until=3)
    assert torch.equal(tw.train(problem, recipe, 2, resume=half).final.theta, run.final.theta)
    theta = _random(MEMBERS, LAYOUT.parameters)
    before = theta.clone()
    updater = Updater(optim.Muon(0.1), theta, layout=LAYOUT)
    gradient = GRADIENTS[0].clone()
    gradient[1] = torch.nan
    updater.step(gradient, _values(1), torch.tensor([True, False, True]))
    assert torch.equal(theta[1], before[1])
    assert bool(theta.isfinite().all())
    assert all(bool((matrix[1] == 0).all()) for matrix in updater.state.values())


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: optim.Muon(0.1, scale="big"), "Muon scale is one of spectral, rms"),
        (lambda: optim.Muon(0.1, fallback=0.1), "Muon fallback must be a rule"),
        (lambda: optim.Muon(0.1, fallback=optim.Muon(0.1)), "Muon fallback must be elementwise"),
        (lambda: Updater(optim.Muon(0.1), torch.zeros(1, 1)), "Muon depends on the kinds of tensors"),
    ],
)
def test_what_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()
