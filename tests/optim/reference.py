"""Update rules straight from their formulas in float64 NumPy, sharing nothing with the package.

Every function yields theta after steps 1, 2, ... for a gradient g(theta, t) and scheduled rates; decay is
one of the four conventions. Nothing here is clever: that is its use.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

Gradient = Callable[[np.ndarray, int], np.ndarray]
Multiplier = Callable[[int], float]


def _decayed(theta: np.ndarray, g: np.ndarray, s: float, p: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Theta and gradient after weight decay, for the multiplier s of the step."""
    weight_decay = p.get("weight_decay", 0.0)
    match p.get("decay", "l2"):
        case "l2":
            return theta, g + weight_decay * theta
        case "lr_coupled":
            return theta - s * p["lr"] * weight_decay * theta, g
        case "schedule_coupled":
            return theta - s * weight_decay * theta, g
        case "constant":
            return theta - weight_decay * theta, g
    raise AssertionError(p)


def sgd(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        theta = theta - s(t) * p["lr"] * g
        yield theta


def _velocity(v: np.ndarray, g: np.ndarray, rate: float, t: int, p: dict[str, Any]) -> np.ndarray:
    match p.get("form", "sum"), p.get("start", "zero"):
        case "sum", _:
            return p["beta"] * v + g
        case "ema", "first_gradient" if t == 1:
            return g
        case "ema", _:
            return p["beta"] * v + (1 - p["beta"]) * g
        case "lr_inside", _:
            return p["beta"] * v + rate * g
    raise AssertionError(p)


def momentum(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    v = np.zeros_like(theta)
    for t in count(1):
        rate = s(t) * p["lr"]
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        v = _velocity(v, g, rate, t, p)
        theta = theta - (v if p.get("form") == "lr_inside" else rate * v)
        yield theta


def nesterov(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    v = np.zeros_like(theta)
    for t in count(1):
        rate, beta, look = s(t) * p["lr"], p["beta"], p.get("look", "beta")
        if look == "reformulated":
            theta, g = _decayed(theta, gradient(theta, t), s(t), p)
            v = beta * v + g
            theta = theta - rate * (g + beta * v)
        else:
            ahead = v if p.get("form") == "lr_inside" else rate * v
            ahead = theta - (beta * ahead if look == "beta" else ahead)
            theta, g = _decayed(theta, gradient(ahead, t), s(t), p)
            v = _velocity(v, g, rate, t, p)
            theta = theta - (v if p.get("form") == "lr_inside" else rate * v)
        yield theta


def rmsprop(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    v = np.zeros_like(theta)
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        v = p["alpha"] * v + (1 - p["alpha"]) * g**2
        root = np.sqrt(v + p["eps"]) if p.get("eps_inside") else np.sqrt(v) + p["eps"]
        theta = theta - s(t) * p["lr"] * g / root
        yield theta


def adam(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        m = p["beta1"] * m + (1 - p["beta1"]) * g
        v = p["beta2"] * v + (1 - p["beta2"]) * g**2
        corrected = p.get("bias_correction", True)
        correction1, correction2 = (1 - p["beta1"] ** t, 1 - p["beta2"] ** t) if corrected else (1.0, 1.0)
        match p.get("eps_place", "outside"):
            case "outside":
                step = (m / correction1) / (np.sqrt(v / correction2) + p["eps"])
            case "inside":
                step = (m / correction1) / np.sqrt(v / correction2 + p["eps"])
            case "uncorrected":  # the efficient form at the end of Kingma & Ba's section 2
                step = np.sqrt(correction2) / correction1 * m / (np.sqrt(v) + p["eps"])
        theta = theta - s(t) * p["lr"] * step
        yield theta


def amsgrad(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    m, v, largest = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        m = p["beta1"] * m + (1 - p["beta1"]) * g
        v = p["beta2"] * v + (1 - p["beta2"]) * g**2
        correction = 1 - p["beta2"] ** t
        if p.get("largest_of") == "corrected":
            largest = np.maximum(largest, v / correction)
            root = np.sqrt(largest)
        else:
            largest = np.maximum(largest, v)
            root = np.sqrt(largest / correction)
        theta = theta - s(t) * p["lr"] * m / (1 - p["beta1"] ** t) / (root + p["eps"])
        yield theta


def nadam(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    m, v, product = np.zeros_like(theta), np.zeros_like(theta), 1.0
    mu = lambda t: p["beta1"] * (1 - 0.5 * 0.96 ** (t * p["momentum_decay"]))  # noqa: E731
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        m = p["beta1"] * m + (1 - p["beta1"]) * g
        v = p["beta2"] * v + (1 - p["beta2"]) * g**2
        product *= mu(t)
        ahead = (1 - mu(t)) * g / (1 - product) + mu(t + 1) * m / (1 - product * mu(t + 1))
        theta = theta - s(t) * p["lr"] * ahead / (np.sqrt(v / (1 - p["beta2"] ** t)) + p["eps"])
        yield theta


def adagrad(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    total = np.full_like(theta, p["initial"])
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        total = total + g**2
        theta = theta - s(t) * p["lr"] / (1 + (t - 1) * p["rate_decay"]) * g / (np.sqrt(total) + p["eps"])
        yield theta


def lion(theta: np.ndarray, gradient: Gradient, s: Multiplier, p: dict[str, Any]) -> Iterator[np.ndarray]:
    m = np.zeros_like(theta)
    for t in count(1):
        theta, g = _decayed(theta, gradient(theta, t), s(t), p)
        theta = theta - s(t) * p["lr"] * np.sign(p["beta1"] * m + (1 - p["beta1"]) * g)
        m = p["beta2"] * m + (1 - p["beta2"]) * g
        yield theta


RULES = {
    "SGD": sgd,
    "Momentum": momentum,
    "Nesterov": nesterov,
    "RMSprop": rmsprop,
    "Adam": adam,
    "AdamW": adam,
    "AMSGrad": amsgrad,
    "NAdam": nadam,
    "Adagrad": adagrad,
    "Lion": lion,
}
