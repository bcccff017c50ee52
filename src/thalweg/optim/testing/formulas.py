"""The requirement for all of a formula at once, and what a user gives in its place: a reference."""

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim.testing.decays import OWN
from thalweg.optim.testing.of_rule import RuleSubject
from thalweg.optim.testing.requirement import (
    Measurement,
    NotApplicable,
    follow,
    near_as_a_whole,
    random,
    requirement,
    size_of,
    waves,
)
from thalweg.optim.testing.specification import LAWS
from thalweg.optim.testing.subject import MATRICES, SQUARE, Subject

Formula = Callable[..., Iterator[np.ndarray]]
STEPS = 50
_TOLERANCE = 1e-10
_TURNED = 1e-5  # SOAP's bases turn by iterations that implementations keep from vanishing in ways of their own
_ROUNDED = 0.1  # of the way, where steps are computed in bfloat16
_SHAPES = {
    "muon": MATRICES,
    "soap": SQUARE,
}  # what they leave to another rule, of which nothing is specified, is not here


@requirement("formula", "Over fifty steps it goes the way of Thalweg's rule of that law with these settings.", *LAWS)
def formula(subject: Subject) -> Measurement:
    """Weight decay, which has requirements of its own, is taken away where that is possible."""
    rule = subject.specification.rule
    if rule is None:
        msg = "Thalweg has no rule with these settings"
        raise NotApplicable(msg)
    apart = subject.specification.law not in OWN and subject.knows("weight_decay")
    changes = {"weight_decay": 0.0} if apart else {}
    shapes = _SHAPES.get(subject.specification.law or "", subject.shapes)
    size = size_of(shapes)
    start, gradient = random(size), waves(size)
    got = follow(subject, start, gradient, STEPS, shapes, **changes)[1:]
    wanted = follow(RuleSubject(rule, subject.specification), start, gradient, STEPS, shapes, **changes)[1:]
    fine = _TURNED if subject.specification.law == "soap" else _TOLERANCE
    return near_as_a_whole(got - start, wanted - start, fine if subject.specification.bits == "float64" else _ROUNDED)


def follows(subject: Subject, wanted: Tensor | None) -> Measurement:
    """Whether a subject goes the way of its reference, (steps, parameters)."""
    if wanted is None:
        msg = "no reference was given"
        raise NotApplicable(msg)
    size = size_of(subject.shapes)
    return near_as_a_whole(follow(subject, random(size), waves(size), STEPS)[1:], wanted, _TOLERANCE)


def is_formula(reference: Any) -> bool:
    """Whether a reference takes the four arguments of a formula, and not one as what makes optimizers."""
    return callable(reference) and _takes(reference, 4) and not _takes(reference, 1)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def way_of(formula: Formula, subject: Subject) -> Tensor:
    """The path (steps, parameters) that a formula yields.

    Raises:
        UsageError: it fails, or does not yield fifty vectors of the parameters.
    """
    size = size_of(subject.shapes)
    start, gradient = random(size), waves(size)
    gradient_at = lambda theta, t: gradient(torch.from_numpy(np.asarray(theta)), t).numpy()  # noqa: E731
    try:
        thetas = formula(start.numpy().copy(), gradient_at, lambda t: 1.0, dict(subject.specification.settings))
        found = [np.array(theta, dtype=np.float64) for theta in islice(thetas, STEPS)]
    except Exception as error:
        msg = f"check's reference, a formula, raised {type(error).__name__}: {error}"
        raise UsageError(msg) from error
    if len(found) != STEPS or any(theta.shape != (size,) for theta in found):
        shapes = sorted({theta.shape for theta in found})
        msg = (
            f"check's reference must yield theta, ({size},), after each of {STEPS} steps; got {len(found)} of {shapes}."
        )
        raise UsageError(msg)
    return torch.from_numpy(np.stack(found))
