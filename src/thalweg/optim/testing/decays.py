"""Requirements on weight decay: by which convention it shrinks, and where it comes to rest."""

import math
from typing import Any

import torch

from thalweg.optim.testing.requirement import (
    Measurement,
    NotApplicable,
    follow,
    near,
    random,
    requirement,
    settable,
    size_of,
    waves,
)
from thalweg.optim.testing.specification import LAWS
from thalweg.optim.testing.subject import MATRICES, Subject

OWN = ("schedule_free", "schedule_free_adam", "sam")  # decay something else than theta at the gradient's point
_SHRINKAGE = 0.1  # of theta in one step


def _weight_decay(subject: Subject) -> float:
    """The weight decay that shrinks theta by a tenth a step."""
    return _SHRINKAGE / (subject.specification["lr"] if subject.specification["decay"] == "lr_coupled" else 1.0)


def _decaying(subject: Subject, weight_decay: float) -> dict[str, Any]:
    """The changes that make all tensors decay, whatever kinds of them do: what lies where is no matter here."""
    everywhere = {"decay_on": None} if subject.knows("decay_on") else {}
    return settable(subject, weight_decay=weight_decay) | everywhere


@requirement(
    "decay alone",
    "Without a gradient, weights shrink by 1 - lr weight_decay a step (lr_coupled) or by 1 - weight_decay "
    "(schedule_coupled, constant).",
    *(law for law in LAWS if law not in OWN),
)
def decay_alone(subject: Subject) -> Measurement:
    """Twenty steps."""
    if subject.specification["decay"] == "l2":
        msg = "its decay is part of the gradient"
        raise NotApplicable(msg)
    changes = _decaying(subject, _weight_decay(subject))
    if subject.knows("eps") and not subject.specification["eps"]:
        changes["eps"] = 1e-8  # without a gradient a step is 0/0
    start = random(size_of(MATRICES))
    path = follow(subject, start, lambda point, _: torch.zeros_like(point), 20, MATRICES, **changes)
    return near(path[-1], start * (1 - _SHRINKAGE) ** 20, 1e-9)


@requirement(
    "decay as gradient",
    "With L2 regularization the path is that of the gradient g + weight_decay theta.",
    *(law for law in LAWS if law not in OWN),
)
def decay_as_gradient(subject: Subject) -> Measurement:
    """The decay by the optimizer, and by hand."""
    if subject.specification["decay"] != "l2":
        msg = "its decay is decoupled from the gradient"
        raise NotApplicable(msg)
    size, weight_decay = size_of(MATRICES), 0.3
    start, gradient = random(size), waves(size)
    path = follow(subject, start, gradient, 12, MATRICES, **_decaying(subject, weight_decay))
    run = subject.run(start, MATRICES, **settable(subject))
    for step in range(1, 13):
        theta = run.theta
        run.advance(lambda point, step=step, theta=theta: gradient(point, step) + weight_decay * theta)
    return near(path[-1], run.theta, 1e-7)


@requirement(
    "decay at rest",
    "Against a constant gradient, weights come to rest where a step equals what decays: for Adam and Lion at "
    "1 / weight_decay whatever the rate (lr_coupled), or at lr / weight_decay (schedule_coupled, constant).",
    "sgd", "momentum", "adam", "amsgrad", "lion",
)  # fmt: skip
def decay_at_rest(subject: Subject) -> Measurement:
    """Eight hundred steps."""
    settings, law = subject.specification, subject.specification.law
    coupled = settings["decay"] == "l2"
    if (coupled and law not in ("sgd", "momentum")) or not settings["bias_correction"]:
        msg = "its point of rest is no simple number"
        raise NotApplicable(msg)
    weight_decay = _SHRINKAGE / settings["lr"] if coupled else _weight_decay(subject)
    beta = settings["beta"] if law == "momentum" else 0.0
    if beta > 0.95:
        msg = f"beta = {beta} forgets too slowly to be measured"
        raise NotApplicable(msg)
    g = torch.tensor([3.0, -5.0], dtype=torch.float64)
    sizes = {"sgd": g, "momentum": g * _steady(subject), "lion": g.sign()}
    step = sizes.get(law or "", g / (g.abs() + settings["eps"]))
    changes = _decaying(subject, weight_decay)
    path = follow(subject, torch.zeros_like(g), lambda *_: g, 800, [(2,)], **changes)
    wanted = -g / weight_decay if coupled else -settings["lr"] * step / _SHRINKAGE
    return near(path[-1], wanted, 1e-6 if settings["eps_place"] == "outside" else math.sqrt(settings["eps"]) + 1e-6)


def _steady(subject: Subject) -> float:
    """The velocity under a constant gradient of 1, after long."""
    settings = subject.specification
    return 1.0 if settings["form"] == "ema" else (1 - settings["dampening"]) / (1 - (settings["beta"] or 0.0))
