"""Requirements on what is done with whole matrices, and for what looks elsewhere: Muon, SOAP, SAM and Schedule-Free."""

import math

import numpy as np
import torch
from torch import Tensor

from thalweg.optim.muon import ITERATIONS, QUINTIC
from thalweg.optim.testing.requirement import (
    Measurement,
    NotApplicable,
    follow,
    near,
    near_as_a_whole,
    random,
    requirement,
    undecayed,
)
from thalweg.optim.testing.subject import Subject

_ROWS, _COLUMNS = 5, 8
_ROUNDED = 0.1  # what iterating in bfloat16 may change of a step


def _tolerance(subject: Subject, fine: float) -> float:
    return fine if subject.specification.bits == "float64" else _ROUNDED


def _muon_step(subject: Subject, gradient: Tensor) -> Tensor:
    """The first step against a matrix, (rows, columns), in units of the rate."""
    shape = tuple(gradient.shape)
    start, changes = torch.zeros(gradient.numel(), dtype=torch.float64), undecayed(subject)
    path = follow(subject, start, lambda *_: gradient.flatten(), 1, [shape], **changes)
    return -path[1].view(shape) / subject.specification["lr"]


def _size(subject: Subject, rows: int, columns: int) -> float:
    rms = subject.specification["scale"] == "rms"
    return 0.2 * math.sqrt(max(rows, columns)) if rms else math.sqrt(max(1.0, rows / columns))


@requirement("singular values", "All singular values of a step lie between 0.68 and 1.14 of its size.", "muon")
def singular_values(subject: Subject) -> Measurement:
    """Of a wide and a tall gradient whose singular values span a factor of fifty."""
    found: list[float] = []
    for rows, columns in ((_ROWS, _COLUMNS), (_COLUMNS, _ROWS)):
        left, _, right = torch.linalg.svd(random(rows, columns), full_matrices=False)
        spread = torch.linspace(0.02, 1, _ROWS, dtype=torch.float64)
        step = _muon_step(subject, left * spread @ right)
        found += (torch.linalg.svdvals(step) / _size(subject, rows, columns)).tolist()
    slack = 1.0 + _tolerance(subject, 0.0)
    within = 0.68 / slack <= min(found) and max(found) <= 1.14 * slack
    return Measurement(
        within, f"from {min(found):.3f} to {max(found):.3f}", f"from {0.68 / slack:.3f} to {1.14 * slack:.3f}"
    )


@requirement(
    "iteration", "A step has the gradient's singular vectors, and its singular values are the quintic's.", "muon"
)
def iteration(subject: Subject) -> Measurement:
    """The polynomial on singular values, by their decomposition."""
    gradient = random(_COLUMNS, _ROWS)
    left, values, right = torch.linalg.svd(gradient, full_matrices=False)
    values /= values.norm()
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    wanted = _size(subject, _COLUMNS, _ROWS) * (left * values @ right)
    return near_as_a_whole(_muon_step(subject, gradient), wanted, _tolerance(subject, 1e-9))


@requirement("equivariance", "Turning every gradient turns the path: Q G P leads to Q theta P.", "muon")
def equivariance(subject: Subject) -> Measurement:
    """Four steps."""
    q, p = (torch.linalg.qr(random(n, n, seed=n)).Q for n in (_ROWS, _COLUMNS))
    gradients = [random(_ROWS, _COLUMNS, seed=20 + step) for step in range(4)]
    start, shape, changes = torch.zeros(_ROWS * _COLUMNS, dtype=torch.float64), (_ROWS, _COLUMNS), undecayed(subject)
    plain = follow(subject, start, lambda _, step: gradients[step - 1].flatten(), 4, [shape], **changes)[-1]
    turned = follow(subject, start, lambda _, step: (q @ gradients[step - 1] @ p).flatten(), 4, [shape], **changes)[-1]
    return near_as_a_whole(turned.view(shape), q @ plain.view(shape) @ p, _tolerance(subject, 1e-9))


@requirement("identity bases", "Where the first gradient is diagonal, and until the bases turn, it is Adam.", "soap")
def identity_bases(subject: Subject) -> Measurement:
    """Against Adam by hand from the second step on, the first of SOAP's moving nothing."""
    settings, n = subject.specification, 4
    if settings["every"] < 2:
        msg = "its bases turn at every step"
        raise NotApplicable(msg)
    steps = min(settings["every"], 12)
    first = torch.diag(torch.arange(n, 0, -1, dtype=torch.float64))
    gradients = [first, *(random(n, n, seed=30 + step) for step in range(1, steps))]
    start = random(n * n)
    path = follow(subject, start, lambda _, step: gradients[step - 1].flatten(), steps, [(n, n)], **undecayed(subject))
    theta, m, v = start.view(n, n).numpy(), np.zeros((n, n)), np.zeros((n, n))
    for t in range(1, steps):
        g = gradients[t].numpy()
        m, v = (old + (1 - settings[b]) * (new - old) for old, b, new in ((m, "beta1", g), (v, "beta2", g**2)))
        correction = math.sqrt(1 - settings["beta2"] ** t) / (1 - settings["beta1"] ** t)
        theta = theta - settings["lr"] * correction * m / (np.sqrt(v) + settings["eps"])
    return near(path[-1].view(n, n) - start.view(n, n), torch.from_numpy(theta) - start.view(n, n), 1e-9)


@requirement("two-cycle", "Around plain descent on h x^2 / 2 it ends in x = +-lr h rho / (2 - lr h).", "sam")
def two_cycle(subject: Subject) -> Measurement:
    """At lr h = 1/2."""
    settings, product = subject.specification, 0.5
    if settings["adaptive"]:
        msg = "its steps up are adaptive"
        raise NotApplicable(msg)
    start, curvature = torch.tensor([1.0], dtype=torch.float64), product / settings["lr"]
    path = follow(subject, start, lambda point, _: curvature * point, 100, [(1,)], **undecayed(subject))
    amplitude = product * settings["rho"] / (2 - product)
    signs = path[-2:] * path[-1].sign()
    return near(signs, torch.tensor([[-amplitude], [amplitude]], dtype=torch.float64), 1e-9)


@requirement(
    "mean of the path", "With beta 0 theta is the mean of the points z.", "schedule_free", "schedule_free_adam"
)
def mean_of_the_path(subject: Subject) -> Measurement:
    """The points at which gradients are asked for are z; for descent they are descent's own."""
    start, curvatures = random(6), 0.5 + random(6, seed=1).abs()
    asked: list[Tensor] = []
    rate = min(0.1, subject.specification["lr"])

    def gradient(point: Tensor, _: int) -> Tensor:
        asked.append(point.clone())
        return curvatures * point

    path = follow(subject, start, gradient, 20, [(6,)], beta=0.0, lr=rate, **undecayed(subject))
    means = torch.stack(asked[1:]).cumsum(0) / torch.arange(1, 20, dtype=torch.float64)[:, None]
    if subject.specification.law == "schedule_free":
        descent = start * (1 - rate * curvatures) ** torch.arange(20, dtype=torch.float64)[:, None]
        return near(torch.cat([path[1:-1], torch.stack(asked)]), torch.cat([means, descent]), 1e-9)
    return near(path[1:-1], means, 1e-9)
