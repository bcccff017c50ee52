"""All requirements, and the check of an optimizer by them."""

from functools import partial
from types import NoneType
from typing import Any

from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.optim.rule import Rule
from thalweg.optim.testing import decays, formulas, laws_of_steps, matrices, mechanics, quadratics
from thalweg.optim.testing.formulas import STEPS, Formula, follows, is_formula, way_of
from thalweg.optim.testing.of_rule import RuleSubject
from thalweg.optim.testing.of_torch import TorchSubject
from thalweg.optim.testing.report import Report
from thalweg.optim.testing.requirement import Requirement, follow, random, size_of, waves
from thalweg.optim.testing.specification import Specification
from thalweg.optim.testing.subject import Given, Subject
from thalweg.optim.wrapper import Wrapper

REQUIREMENTS = tuple(
    one
    for module in (mechanics, quadratics, laws_of_steps, decays, matrices, formulas)
    for one in vars(module).values()
    if isinstance(one, Requirement)
)


def check(
    subject: Given, *, reference: Given | Formula | None = None, specification: Specification | None = None
) -> Report:
    """Test an optimizer for all requirements on its family, in float64; it takes about half a second.

    Args:
        subject: a rule, or a function from a list of parameters to an optimizer of torch's interface, such as
            `lambda p: torch.optim.Adam(p, lr=1e-2)`.
        reference: what it must equal over fifty steps to 1e-10: another optimizer, or a generator function
            `formula(theta, gradient, multiplier, settings)` that yields theta (parameters,) after each step, where
            `gradient(theta, t)` and `multiplier(t)` are functions and `settings` are those of the specification.
        specification: what it is held to; by default what its type says. An optimizer whose type says nothing is held
            to no law, and its report says so.

    Raises:
        UsageError: `subject` or `reference` is no optimizer, sweeps a hyper-parameter, has the learning rate 0,
            maximizes, or needs a closure; `specification` is not one; or the reference is a formula that fails or
            yields something else.

    >>> import thalweg as tw
    >>> report = tw.optim.testing.check(tw.optim.SGD(0.1))
    >>> print(str(report).splitlines()[0])
    SGD(lr=0.1): 19 passed, 0 failed, 3 not applicable
    """
    wanted_type = 'such as Specification("adam", {"lr": 1e-3, "beta1": 0.9, ...})'
    check_type("check specification", specification, (Specification, NoneType), wanted_type)
    one = _subject_of("subject", subject, specification)
    wanted = None if reference is None else _wanted(one, reference)
    law = one.specification.law
    outcomes = [test(one) for test in REQUIREMENTS if not test.laws or law in test.laws]
    sentence = "It equals the reference over fifty steps."
    last = Requirement("reference", sentence, (), partial(follows, wanted=wanted))(one)
    return Report(one.name, (*outcomes, last), law)


def _subject_of(role: str, given: Any, specification: Specification | None = None) -> Subject:
    if isinstance(given, Rule | Wrapper):
        return RuleSubject(given, specification)
    if callable(given) and not (isinstance(given, type) and issubclass(given, Rule | Wrapper)):
        return TorchSubject(given, specification)
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
