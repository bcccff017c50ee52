"""Requirements on steps: the first one, those under a constant gradient, their scale and their bound."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from thalweg.optim.testing.quadratics import gain
from thalweg.optim.testing.requirement import (
    Measurement,
    NotApplicable,
    below,
    follow,
    near,
    near_as_a_whole,
    random,
    requirement,
    settable,
    size_of,
    undecayed,
    waves,
)
from thalweg.optim.testing.specification import Specification
from thalweg.optim.testing.subject import MATRICES, SQUARE, Subject

_SHAPE = [(12,)]


def _normalized(settings: Specification, g: Tensor, v: float, weight: float, correction: float) -> Tensor:
    """weight g / (root of v g^2 + eps) with eps where it is said to be; correction^2 was divided out of v."""
    eps = settings["eps"]
    if settings["eps_inside"] or settings["eps_place"] == "inside":
        return weight * g / (v * g**2 + eps).sqrt()
    return weight * g / (math.sqrt(v) * g.abs() + eps / (correction if settings["eps_place"] == "uncorrected" else 1.0))


def _adam(settings: Specification, g: Tensor, step: int) -> Tensor:
    if settings["bias_correction"]:
        return _normalized(settings, g, 1.0, 1.0, math.sqrt(1 - settings["beta2"] ** step))
    return _normalized(settings, g, 1 - settings["beta2"] ** step, 1 - settings["beta1"] ** step, 1.0)


def _nadam(settings: Specification, g: Tensor, step: int) -> Tensor:
    at = lambda t: settings["beta1"] * (1 - 0.5 * 0.96 ** (t * settings["momentum_decay"]))  # noqa: E731
    product = math.prod(at(t) for t in range(1, step + 1))
    m = 1 - settings["beta1"] ** step
    weight = (1 - at(step)) / (1 - product) + at(step + 1) * m / (1 - product * at(step + 1))
    return _normalized(settings, g, 1.0, weight, 1.0)


def _adagrad(settings: Specification, g: Tensor, step: int) -> Tensor:
    return (
        g / (1 + (step - 1) * settings["rate_decay"]) / ((settings["initial"] + step * g**2).sqrt() + settings["eps"])
    )


def _velocity(settings: Specification, g: Tensor, step: int, share: float) -> Tensor:
    """The velocity under a constant gradient, in units of the rate."""
    beta = settings["beta"]
    special = settings["start"] == "first_gradient" and (settings["form"] == "ema" or settings["dampening"])
    if special:
        return g * (beta ** (step - 1) + share * sum(beta**k for k in range(step - 1)))
    return g * share * sum(beta**k for k in range(step))


def _nesterov(settings: Specification, g: Tensor, step: int, share: float) -> Tensor:
    v = _velocity(settings, g, step, share)
    return g + settings["beta"] * v if settings["look"] == "reformulated" else v


def _rates_free(subject: Subject) -> Callable[[Tensor, int], Tensor]:
    """The step under a constant gradient, in units of the rate."""
    settings = subject.specification
    formulas: Mapping[str | None, Callable[[Tensor, int], Tensor]] = {
        "sgd": lambda g, _: g,
        "momentum": lambda g, step: _velocity(settings, g, step, gain(subject)),
        "nesterov": lambda g, step: _nesterov(settings, g, step, gain(subject)),
        "rmsprop": lambda g, step: _normalized(settings, g, 1 - settings["alpha"] ** step, 1.0, 1.0),
        "adam": lambda g, step: _adam(settings, g, step),
        "amsgrad": lambda g, step: _adam(settings, g, step),
        "nadam": lambda g, step: _nadam(settings, g, step),
        "adagrad": lambda g, step: _adagrad(settings, g, step),
        "lion": lambda g, _: g.sign(),
        "schedule_free": lambda g, _: g,
        "schedule_free_adam": lambda g, _: _normalized(settings, g, 1.0, 1.0, 1.0),
    }
    return formulas[subject.specification.law]


_ELEMENTWISE = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "amsgrad", "nadam", "adagrad", "lion", "schedule_free",
    "schedule_free_adam",
)  # fmt: skip


def _spread() -> Tensor:
    """Gradients from a thousandth to ten thousand, of both signs."""
    return random(12) * 10.0 ** torch.linspace(-3, 4, 12, dtype=torch.float64)


@requirement(
    "first step", "The first step has the size that the formula gives, in every entry.", *_ELEMENTWISE, "adafactor"
)
def first_step(subject: Subject) -> Measurement:
    """Such as lr g / (|g| + eps) for Adam, 3.16 times that without bias correction."""
    settings, g = subject.specification, _spread()
    start = random(12, seed=1) if subject.specification.law == "adafactor" else torch.zeros(12, dtype=torch.float64)
    path = follow(subject, start, lambda *_: g, 1, _SHAPE, **undecayed(subject))
    if subject.specification.law == "adafactor":
        size = max(settings["floor"], float(start.norm()) / math.sqrt(12))
        wanted = -size * min(1.0, settings["lr"]) * g.sign() / max(1.0, 1 / settings["clip"])
    else:
        wanted = -settings["lr"] * _rates_free(subject)(g, 1)
    return near(path[1] - path[0], wanted, 1e-9)


@requirement(
    "constant gradient",
    "Under a constant gradient every step has the size that the formula gives: for Adam the rate, at each of them.",
    *(law for law in _ELEMENTWISE if not law.startswith("schedule_free")),
)
def constant_gradient(subject: Subject) -> Measurement:
    """Sixty steps."""
    g, formula = _spread(), _rates_free(subject)
    start = torch.zeros(12, dtype=torch.float64)
    path = follow(subject, start, lambda *_: g, 60, _SHAPE, **undecayed(subject))
    wanted = -subject.specification["lr"] * torch.stack([formula(g, step) for step in range(1, 61)])
    return near(path.diff(dim=0), wanted, 1e-9)


@requirement(
    "scale of the loss",
    "Without eps the path does not know the scale of the loss.",
    "rmsprop", "adam", "amsgrad", "nadam", "adagrad", "lion", "muon", "soap", "adafactor", "schedule_free_adam",
)  # fmt: skip
def scale_of_the_loss(subject: Subject) -> Measurement:
    """The loss times 2^12 and 10^-5."""
    settings = subject.specification
    if settings["initial"]:
        msg = "its sum of squares does not start at 0"
        raise NotApplicable(msg)
    law = subject.specification.law
    has_eps = law not in ("lion", "muon", "adafactor")
    changes = settable(subject, eps=0.0) if has_eps else undecayed(subject)
    shapes = _SHAPE if subject.specification.elementwise else SQUARE if law == "soap" else MATRICES
    start, gradient = random(size_of(shapes)), waves(size_of(shapes))
    plain, *others = (
        follow(subject, start, lambda point, step, c=c: c * gradient(point, step), 12, shapes, **changes)[-1]
        for c in (1.0, 2.0**12, 1e-5)
    )
    tolerance = 0.1 if subject.specification.bits != "float64" else 1e-6 if law == "soap" else 1e-9
    return near_as_a_whole(torch.cat(others) - start.repeat(2), (plain - start).repeat(2), tolerance)


@requirement("sign descent", "Without memory and eps it is sign descent.", "adam", "amsgrad")
def sign_descent(subject: Subject) -> Measurement:
    """Both betas 0."""
    changes = settable(subject, beta1=0.0, beta2=0.0, eps=0.0)
    if subject.specification.law == "amsgrad":
        msg = "its second moment never falls"
        raise NotApplicable(msg)
    noise = random(20, 12)
    path = follow(subject, torch.zeros(12, dtype=torch.float64), lambda _, step: noise[step - 1], 20, _SHAPE, **changes)
    return near(path.diff(dim=0), -subject.specification["lr"] * noise.sign(), 1e-9)


@requirement(
    "step bound",
    "No step exceeds lr (1 - beta1) / sqrt((1 - beta2) (1 - beta1^2 / beta2)), which growing gradients come close to.",
    "adam",
)
def step_bound(subject: Subject) -> Measurement:
    """Gradients that grow by beta2 / beta1, against the closed form of their steps."""
    beta1, beta2, lr = (subject.specification[name] for name in ("beta1", "beta2", "lr"))
    if not 0 < beta1 < math.sqrt(beta2) or beta1 >= beta2 or not subject.specification["bias_correction"]:
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


@requirement("step size", "Every entry moves by the rate at every step.", "lion")
def step_size(subject: Subject) -> Measurement:
    """Random gradients."""
    noise, start = random(20, 12), torch.zeros(12, dtype=torch.float64)
    path = follow(subject, start, lambda _, step: noise[step - 1], 20, _SHAPE, **undecayed(subject))
    steps = path.diff(dim=0).abs()
    return near(steps, torch.full_like(steps, subject.specification["lr"]), 1e-9)
