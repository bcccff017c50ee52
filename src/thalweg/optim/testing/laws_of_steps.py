"""Rungs for what steps are made of: the first one, those under a constant gradient, their scale and their bound."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from thalweg.optim.testing.claims import Claims
from thalweg.optim.testing.quadratics import gain
from thalweg.optim.testing.rung import (
    Finding,
    NotApplicable,
    below,
    follow,
    near,
    near_as_a_whole,
    random,
    rung,
    settable,
    size_of,
    undecayed,
    waves,
)
from thalweg.optim.testing.subject import MATRICES, SQUARE, Subject

_SHAPE = [(12,)]


def _normalized(claims: Claims, g: Tensor, v: float, weight: float, correction: float) -> Tensor:
    """weight g / (root of v g^2 + eps) with eps where it is said to be; correction^2 was divided out of v."""
    eps = claims["eps"]
    if claims["eps_inside"] or claims["eps_place"] == "inside":
        return weight * g / (v * g**2 + eps).sqrt()
    return weight * g / (math.sqrt(v) * g.abs() + eps / (correction if claims["eps_place"] == "uncorrected" else 1.0))


def _adam(claims: Claims, g: Tensor, step: int) -> Tensor:
    if claims["bias_correction"]:
        return _normalized(claims, g, 1.0, 1.0, math.sqrt(1 - claims["beta2"] ** step))
    return _normalized(claims, g, 1 - claims["beta2"] ** step, 1 - claims["beta1"] ** step, 1.0)


def _nadam(claims: Claims, g: Tensor, step: int) -> Tensor:
    at = lambda t: claims["beta1"] * (1 - 0.5 * 0.96 ** (t * claims["momentum_decay"]))  # noqa: E731
    product = math.prod(at(t) for t in range(1, step + 1))
    m = 1 - claims["beta1"] ** step
    weight = (1 - at(step)) / (1 - product) + at(step + 1) * m / (1 - product * at(step + 1))
    return _normalized(claims, g, 1.0, weight, 1.0)


def _adagrad(claims: Claims, g: Tensor, step: int) -> Tensor:
    return g / (1 + (step - 1) * claims["rate_decay"]) / ((claims["initial"] + step * g**2).sqrt() + claims["eps"])


def _velocity(claims: Claims, g: Tensor, step: int, share: float) -> Tensor:
    """The velocity under a constant gradient, in units of the rate."""
    beta = claims["beta"]
    special = claims["start"] == "first_gradient" and (claims["form"] == "ema" or claims["dampening"])
    if special:
        return g * (beta ** (step - 1) + share * sum(beta**k for k in range(step - 1)))
    return g * share * sum(beta**k for k in range(step))


def _nesterov(claims: Claims, g: Tensor, step: int, share: float) -> Tensor:
    v = _velocity(claims, g, step, share)
    return g + claims["beta"] * v if claims["look"] == "reformulated" else v


def _rates_free(subject: Subject) -> Callable[[Tensor, int], Tensor]:
    """The step under a constant gradient, in units of the rate."""
    claims = subject.claims
    formulas: Mapping[str | None, Callable[[Tensor, int], Tensor]] = {
        "sgd": lambda g, _: g,
        "momentum": lambda g, step: _velocity(claims, g, step, gain(subject)),
        "nesterov": lambda g, step: _nesterov(claims, g, step, gain(subject)),
        "rmsprop": lambda g, step: _normalized(claims, g, 1 - claims["alpha"] ** step, 1.0, 1.0),
        "adam": lambda g, step: _adam(claims, g, step),
        "amsgrad": lambda g, step: _adam(claims, g, step),
        "nadam": lambda g, step: _nadam(claims, g, step),
        "adagrad": lambda g, step: _adagrad(claims, g, step),
        "lion": lambda g, _: g.sign(),
        "schedule_free": lambda g, _: g,
        "schedule_free_adam": lambda g, _: _normalized(claims, g, 1.0, 1.0, 1.0),
    }
    return formulas[claims.law]


_ELEMENTWISE = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "amsgrad", "nadam", "adagrad", "lion", "schedule_free",
    "schedule_free_adam",
)  # fmt: skip


def _spread() -> Tensor:
    """Gradients from a thousandth to ten thousand, of both signs."""
    return random(12) * 10.0 ** torch.linspace(-3, 4, 12, dtype=torch.float64)


@rung("first step", "The first step has the size that the formula gives, in every entry.", *_ELEMENTWISE, "adafactor")
def first_step(subject: Subject) -> Finding:
    """Such as lr g / (|g| + eps) for Adam, 3.16 times that without bias correction."""
    claims, g = subject.claims, _spread()
    start = random(12, seed=1) if claims.law == "adafactor" else torch.zeros(12, dtype=torch.float64)
    path = follow(subject, start, lambda *_: g, 1, _SHAPE, **undecayed(subject))
    if claims.law == "adafactor":
        size = max(claims["floor"], float(start.norm()) / math.sqrt(12))
        wanted = -size * min(1.0, claims["lr"]) * g.sign() / max(1.0, 1 / claims["clip"])
    else:
        wanted = -claims["lr"] * _rates_free(subject)(g, 1)
    return near(path[1] - path[0], wanted, 1e-9)


@rung(
    "constant gradient",
    "Under a constant gradient every step has the size that the formula gives: for Adam the rate, at each of them.",
    *(law for law in _ELEMENTWISE if not law.startswith("schedule_free")),
)
def constant_gradient(subject: Subject) -> Finding:
    """Sixty steps."""
    g, formula = _spread(), _rates_free(subject)
    start = torch.zeros(12, dtype=torch.float64)
    path = follow(subject, start, lambda *_: g, 60, _SHAPE, **undecayed(subject))
    wanted = -subject.claims["lr"] * torch.stack([formula(g, step) for step in range(1, 61)])
    return near(path.diff(dim=0), wanted, 1e-9)


@rung(
    "scale of the loss",
    "Without eps the path does not know the scale of the loss.",
    "rmsprop", "adam", "amsgrad", "nadam", "adagrad", "lion", "muon", "soap", "adafactor", "schedule_free_adam",
)  # fmt: skip
def scale_of_the_loss(subject: Subject) -> Finding:
    """The loss times 2^12 and 10^-5."""
    claims = subject.claims
    if claims["initial"]:
        msg = "its sum of squares does not start at 0"
        raise NotApplicable(msg)
    has_eps = claims.law not in ("lion", "muon", "adafactor")
    changes = settable(subject, eps=0.0) if has_eps else undecayed(subject)
    shapes = _SHAPE if claims.elementwise else SQUARE if claims.law == "soap" else MATRICES
    start, gradient = random(size_of(shapes)), waves(size_of(shapes))
    plain, *others = (
        follow(subject, start, lambda point, step, c=c: c * gradient(point, step), 12, shapes, **changes)[-1]
        for c in (1.0, 2.0**12, 1e-5)
    )
    tolerance = 0.1 if claims.bits != "float64" else 1e-6 if claims.law == "soap" else 1e-9
    return near_as_a_whole(torch.cat(others) - start.repeat(2), (plain - start).repeat(2), tolerance)


@rung("sign descent", "Without memory and eps it is sign descent.", "adam", "amsgrad")
def sign_descent(subject: Subject) -> Finding:
    """Both betas 0."""
    changes = settable(subject, beta1=0.0, beta2=0.0, eps=0.0)
    if subject.claims.law == "amsgrad":
        msg = "its second moment never falls"
        raise NotApplicable(msg)
    noise = random(20, 12)
    path = follow(subject, torch.zeros(12, dtype=torch.float64), lambda _, step: noise[step - 1], 20, _SHAPE, **changes)
    return near(path.diff(dim=0), -subject.claims["lr"] * noise.sign(), 1e-9)


@rung(
    "step bound",
    "No step exceeds lr (1 - beta1) / sqrt((1 - beta2) (1 - beta1^2 / beta2)), which growing gradients come close to.",
    "adam",
)
def step_bound(subject: Subject) -> Finding:
    """Gradients that grow by beta2 / beta1, against the closed form of their steps."""
    beta1, beta2, lr = (subject.claims[name] for name in ("beta1", "beta2", "lr"))
    if not 0 < beta1 < math.sqrt(beta2) or beta1 >= beta2 or not subject.claims["bias_correction"]:
        msg = "the bound is for bias correction and 0 < beta1 < beta2"
        raise NotApplicable(msg)
    changes = settable(subject, eps=0.0)
    growth = beta2 / beta1
    steps = min(1_200, int(300 / math.log(growth)))
    path = follow(
        subject,
        torch.zeros(1, dtype=torch.float64),
        lambda point, step: torch.full_like(point, growth**step),
        steps,
        [(1,)],
        **changes,
    )
    sizes, bound = path.diff(dim=0).abs().flatten() / lr, (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    m = (1 - beta1) * sum((beta1 / growth) ** k for k in range(steps)) / (1 - beta1**steps)
    v = (1 - beta2) * sum((beta2 / growth**2) ** k for k in range(steps)) / (1 - beta2**steps)
    off = abs(float(sizes[-1]) / (m / math.sqrt(v)) - 1)
    says = f"largest step {float(sizes.max()):.4g} lr of at most {bound:.4g} lr; the last is off its closed form by"
    return below(off if float(sizes.max()) <= bound else math.inf, 1e-7, says)


@rung("step size", "Every entry moves by the rate at every step.", "lion")
def step_size(subject: Subject) -> Finding:
    """Random gradients."""
    noise, start = random(20, 12), torch.zeros(12, dtype=torch.float64)
    path = follow(subject, start, lambda _, step: noise[step - 1], 20, _SHAPE, **undecayed(subject))
    steps = path.diff(dim=0).abs()
    return near(steps, torch.full_like(steps, subject.claims["lr"]), 1e-9)
