"""The ladder: which rungs there are, and climbing them."""

from functools import partial
from types import NoneType
from typing import Any

from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.optim.rule import Rule
from thalweg.optim.testing import decays, formulas, laws_of_steps, matrices, mechanics, quadratics
from thalweg.optim.testing.claims import Claims
from thalweg.optim.testing.formulas import STEPS, Formula, follows, is_formula, way_of
from thalweg.optim.testing.of_rule import RuleSubject
from thalweg.optim.testing.of_torch import TorchSubject
from thalweg.optim.testing.report import Report
from thalweg.optim.testing.rung import Check, follow, random, size_of, waves
from thalweg.optim.testing.subject import Given, Subject
from thalweg.optim.wrapper import Wrapper

RUNGS = tuple(
    check
    for module in (mechanics, quadratics, laws_of_steps, decays, matrices, formulas)
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
        claims: what it is held to; by default what its type says. An optimizer whose type says nothing is held to no
            law, and its report says so.

    Raises:
        UsageError: `subject` or `reference` is no optimizer, sweeps a hyper-parameter, maximizes, or needs a closure;
            `claims` are none; or the reference is a formula that fails or yields something else.
    """
    check_type("check claims", claims, (Claims, NoneType), 'such as Claims("adam", {"lr": 1e-3, "beta1": 0.9, ...})')
    one = _subject_of("subject", subject, claims)
    wanted = None if reference is None else _wanted(one, reference)
    climbed = [step(one) for step in RUNGS if not step.laws or one.claims.law in step.laws]
    sentence = "It equals the reference over fifty steps."
    last = Check("reference", sentence, (), partial(follows, wanted=wanted))(one)
    return Report(one.name, (*climbed, last), one.claims.law)


def _subject_of(role: str, given: Any, claims: Claims | None = None) -> Subject:
    if isinstance(given, Rule | Wrapper):
        return RuleSubject(given, claims)
    if callable(given) and not (isinstance(given, type) and issubclass(given, Rule | Wrapper)):
        return TorchSubject(given, claims)
    msg = (
        f"check's {role} is a rule such as optim.Adam(1e-3), or a function from a list of parameters to an optimizer "
        f"such as lambda p: torch.optim.Adam(p, lr=1e-3); got {given!r}."
    )
    raise UsageError(msg)


def _wanted(subject: Subject, reference: Any) -> Tensor:
    """The path (steps, parameters) of a reference."""
    if is_formula(reference):
        return way_of(reference, subject)
    size = size_of(subject.shapes)
    return follow(_subject_of("reference", reference), random(size), waves(size), STEPS, subject.shapes)[1:]
