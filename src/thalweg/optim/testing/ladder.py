"""The ladder: which rungs there are, and climbing them."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from thalweg.errors import UsageError
from thalweg.optim.around import Around
from thalweg.optim.rule import Rule
from thalweg.optim.testing import decays, laws_of_steps, matrices, mechanics, quadratics
from thalweg.optim.testing.claims import Claims
from thalweg.optim.testing.of_rule import RuleSubject
from thalweg.optim.testing.of_torch import TorchSubject
from thalweg.optim.testing.report import Report
from thalweg.optim.testing.rung import Check, Finding, NotApplicable, follow, near_as_a_whole, random, size_of, waves
from thalweg.optim.testing.subject import Given, Subject

Formula = Callable[..., Iterator[np.ndarray]]
_STEPS = 50
RUNGS = tuple(
    check
    for module in (mechanics, quadratics, laws_of_steps, decays, matrices)
    for check in vars(module).values()
    if isinstance(check, Check)
)


def check(subject: Given, *, reference: Given | Formula | None = None, claims: Claims | None = None) -> Report:
    """Climb the ladder with an optimizer, in float64; it takes about half a second.

    Args:
        subject: a rule, or a function from a list of parameters to an optimizer of torch's interface, such as
            `lambda p: torch.optim.Adam(p, lr=1e-2)`.
        reference: what it must equal over fifty steps to 1e-10: another optimizer, or a generator function
            `formula(theta, gradient, multiplier, settings)` that yields theta (parameters,) after each step, where
            `gradient(theta, t)` and `multiplier(t)` are functions and `settings` are those of the claims.
        claims: what it is held to; by default what its type says.

    Raises:
        UsageError: `subject` is no optimizer, sweeps a hyper-parameter, or maximizes.
    """
    one = _subject_of(subject, claims)
    climbed = [step(one) for step in RUNGS if not step.laws or one.claims.law in step.laws]
    sentence = "It equals the reference over fifty steps."
    return Report(one.name, (*climbed, Check("reference", sentence, (), partial(_parity, reference=reference))(one)))


def _subject_of(given: Any, claims: Claims | None = None) -> Subject:
    if isinstance(given, Rule | Around):
        return RuleSubject(given, claims)
    if callable(given):
        return TorchSubject(given, claims)
    msg = (
        "check takes a rule such as optim.Adam(1e-3), or a function from a list of parameters to an optimizer such as "
        f"lambda p: torch.optim.Adam(p, lr=1e-3); got {given!r}."
    )
    raise UsageError(msg)


def _parity(subject: Subject, reference: Any) -> Finding:
    if reference is None:
        msg = "no reference was given"
        raise NotApplicable(msg)
    size = size_of(subject.shapes)
    start, gradient = random(size), waves(size)
    path = follow(subject, start, gradient, _STEPS)
    if inspect.isgeneratorfunction(reference):
        slope = lambda theta, t: gradient(torch.from_numpy(theta), t).numpy()  # noqa: E731
        thetas = reference(start.numpy().copy(), slope, lambda t: 1.0, dict(subject.claims.settings))
        wanted = torch.from_numpy(np.stack(list(islice(thetas, _STEPS))))
    else:
        wanted = follow(_subject_of(reference), start, gradient, _STEPS, subject.shapes)[1:]
    return near_as_a_whole(path[1:], wanted, 1e-10)
