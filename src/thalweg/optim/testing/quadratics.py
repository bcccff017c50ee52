"""Requirements on descent with and without momentum: rates, stability and noise on a quadratic, one mode per entry."""

import math
from itertools import pairwise

import numpy as np
import torch

from thalweg.optim.testing.requirement import Measurement, NotApplicable, below, follow, requirement, undecayed
from thalweg.optim.testing.subject import Subject

LAWS = ("sgd", "momentum", "nesterov")
_CHAINS = 80_000
_CLOSE = 1e-4  # to a limit of stability, as a share of it
_NOISE = 4.0  # standard errors that a variance may be off


def gain(subject: Subject) -> float:
    """By what a gradient goes into the velocity, in units of the rate."""
    settings = subject.specification
    return 1 - settings["beta"] if settings["form"] == "ema" else 1 - settings["dampening"]


def _radii(subject: Subject, products: list[float]) -> list[float]:
    """The factor by which each mode shrinks a step, for these products of effective rate and curvature."""
    settings = subject.specification
    momentum = subject.specification.law != "sgd"
    curvatures = torch.tensor(products, dtype=torch.float64) / (settings["lr"] * (gain(subject) if momentum else 1.0))
    path = follow(
        subject,
        torch.ones_like(curvatures),
        lambda point, _: curvatures * point,
        6,
        [tuple(curvatures.shape)],
        **undecayed(subject),
    )
    # What looks a whole velocity ahead sees the step before even where beta is 0.
    second_order = momentum and (settings["beta"] > 0 or settings["look"] == "full")
    # The first velocity may be special, and no law needs the first step.
    return [_radius(row, second_order) for row in path[1:].T.numpy()]


def _radius(x: np.ndarray, second_order: bool) -> float:
    """The largest root of the recurrence x'' = a x' + b x that a mode obeys; NaN if it obeys none."""
    if not second_order:
        ratios = [after / before for before, after in pairwise(x)]
        return abs(ratios[0]) if np.allclose(ratios, ratios[0], rtol=1e-6) else math.nan
    a, b = np.linalg.solve([[x[1], x[0]], [x[2], x[1]]], [x[2], x[3]])
    obeys = all(np.isclose(a * x[i + 1] + b * x[i], x[i + 2], rtol=1e-6, atol=1e-9) for i in (1, 2, 3))
    return float(np.abs(np.roots([1, -a, -b])).max()) if obeys else math.nan


def _limit(subject: Subject) -> float:
    """Effective rate times curvature from which on a mode grows."""
    settings = subject.specification
    if subject.specification.law == "sgd":
        return 2.0
    reach = {
        "momentum": 1.0,
        "beta": 1 + 2 * settings["beta"],
        "full": 3.0,
        "reformulated": 1 + 2 * settings["beta"],
    }
    return (
        2 * (1 + settings["beta"]) / reach["momentum" if subject.specification.law == "momentum" else settings["look"]]
    )


@requirement(
    "stability limit", "Modes shrink just below the limit of lr h that the law gives, and grow just above it.", *LAWS
)
def stability_limit(subject: Subject) -> Measurement:
    """2 for descent, 2 (1 + beta) for the heavy ball, less for what looks ahead."""
    limit = _limit(subject)
    under, over = _radii(subject, [limit * (1 - _CLOSE), limit * (1 + _CLOSE)])
    says = f"factors {under:.6f} and {over:.6f} a step at {1 - _CLOSE} and {1 + _CLOSE} of lr h = {limit:.4g}"
    return Measurement(under < 1 < over, says, "one below 1, one above")


@requirement("rate", "Modes shrink by the factor per step that the law gives.", *LAWS)
def rate(subject: Subject) -> Measurement:
    """|1 - a| for descent; the root of beta for the heavy ball where it swings, whatever the curvature."""
    if subject.specification.law == "sgd":
        products = [0.1, 0.5, 0.9, 1.5]
        wanted = [abs(1 - a) for a in products]
    else:
        products, wanted = _modes(subject)
    got = _radii(subject, products)
    off = max(abs(a / b - 1) if a == a else math.inf for a, b in zip(got, wanted, strict=True))
    return below(off, 1e-6, f"factor {got[0]:.6f} a step where {wanted[0]:.6f} is due; largest relative deviation")


def _modes(subject: Subject) -> tuple[list[float], list[float]]:
    """Products a of effective rate and curvature, and the size of their larger root; those that swing, if any do."""
    beta, look = (
        subject.specification["beta"],
        "none" if subject.specification.law == "momentum" else subject.specification["look"],
    )
    if not beta:
        msg = "beta is 0"
        raise NotApplicable(msg)
    swinging, others = [], []
    for a in np.geomspace(1e-3, 0.98, 400) * _limit(subject):
        trace, product = {
            "none": (1 + beta - a, beta),
            "beta": ((1 + beta) * (1 - a), beta * (1 - a)),
            "reformulated": ((1 + beta) * (1 - a), beta * (1 - a)),
            "full": (1 + beta - 2 * a, beta - a),
        }[look]
        rest = trace**2 - 4 * product
        if rest < -0.4 * abs(product):  # nearly double roots are known to the root of rounding only
            swinging.append((float(a), math.sqrt(product)))
        elif rest > 0.4 * abs(product) > 0.01:
            others.append((float(a), (abs(trace) + math.sqrt(rest)) / 2))
    modes = swinging or others
    products, factors = zip(*modes[:: max(1, len(modes) // 5)], strict=True)
    return list(products), list(factors)


@requirement(
    "stationary variance", "Under gradient noise it settles to the variance that the law gives.", "sgd", "momentum"
)
def stationary_variance(subject: Subject) -> Measurement:
    """One chain per entry, with curvature and noise that make the effective product a half."""
    settings, a = subject.specification, 0.5
    beta = settings["beta"] if subject.specification.law == "momentum" else 0.0
    if beta > 0.995:
        msg = f"beta = {beta} forgets too slowly to be measured"
        raise NotApplicable(msg)
    factor = max(math.sqrt(beta), 1 - a) if beta else 1 - a
    curvature = a / (settings["lr"] * (gain(subject) if beta else 1.0))
    draw = torch.Generator().manual_seed(11)
    run = subject.run(torch.zeros(_CHAINS, dtype=torch.float64), [(_CHAINS,)], **undecayed(subject))
    for _ in range(math.ceil(math.log(1e-2) / math.log(factor)) + 20):
        run.advance(lambda point: curvature * (point + torch.randn(_CHAINS, generator=draw, dtype=torch.float64)))
    got = float(run.theta.square().mean())
    wanted = a * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - a))
    z = (got / wanted - 1) / math.sqrt(2 / _CHAINS)
    return Measurement(abs(z) < _NOISE, f"variance {got:.4f}, {z:+.1f} standard errors off", f"{wanted:.4f}")
