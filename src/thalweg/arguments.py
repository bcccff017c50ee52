"""Arguments that cannot be meant: said in words, with what to write instead, before anything is computed."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from thalweg.errors import ThalwegError, UsageError, check_type, unknown_name
from thalweg.kinds import flat, misfit, reloaded, with_article

__all__ = ["MISREAD", "Arguments", "in_words"]

Given = ParamSpec("Given")
Found = TypeVar("Found")
MISREAD = (TypeError, ValueError, AttributeError, IndexError, KeyError, RuntimeError)  # what wrong kinds end in

# What people pass in place of a Thalweg object, by the object's class and the first class of theirs that fits.
_INSTEAD: dict[str, tuple[tuple[str, str], ...]] = {
    "Population": (
        ("Module", "write problem.population(model), or of a list of models"),
        ("Run", "write run.final, or run.at(step) for a start"),
        ("Mapping", "write problem.load([state_dict])"),
        ("Tensor", "write population.with_theta(theta)"),
        ("list", "write problem.population([model, ...]) or Population.concatenate([...])"),
    ),
    "Problem": (("Module", "write Problem(model, data, loss)"), ("Population", "the problem comes first")),
    "Operator": (("Tensor", "write spectra.from_matrix(tensor)"), ("ndarray", "write spectra.from_matrix(tensor)")),
    "Recipe": (
        ("Optimizer", "write Recipe(optim.Adam(lr=1e-3), steps=..., batch_size=...), or another rule of optim"),
        ("Rule", "write Recipe(rule, steps=..., batch_size=...)"),
    ),
}

# What each is, with where it comes from, for what is told by none of the above.
_NOUNS: dict[str, str] = {
    "Population": "a Population such as run.final",
    "Operator": "an Operator such as curvature.hessian(problem, population)",
    "Recipe": "a Recipe such as Recipe(optim.AdamW(1e-3), steps=400)",
    "Run": "a Run such as train returns",
}
_HAVE_STAND_INS = {"Rule"}  # in whose place something else is as good: a Wrapper


class Arguments:
    """What a verb takes: says which argument does not fit, and what to write.

    Args:
        verb: the function; those of its arguments are checked that are annotated as one class of Thalweg's, but for
            protocols, abstract classes and those in whose place others are as good.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.evaluate(problem, tw.nets.mlp(64, 10))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    thalweg.errors.UsageError: evaluate population must be a Population; got a Sequential: write ...
    """

    def __init__(self, verb: Callable[..., Any]) -> None:
        self.signature = inspect.signature(verb)
        self.name = verb.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")
        checked = [
            (place, name, given.annotation)
            for place, (name, given) in enumerate(self.signature.parameters.items())
            if inspect.isclass(given.annotation) and given.annotation.__module__.startswith("thalweg.")
        ]
        self.checked = [one for one in checked if not _has_stand_ins(one[2])]

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise UsageError where an argument is of another kind than the annotated one."""
        for place, name, kind in self.checked:
            given = args[place] if place < len(args) else kwargs.get(name, self)
            if given is not self and not isinstance(given, kind):
                self._refuse(name, kind, given)

    def misread(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: Exception) -> UsageError | None:
        """What is wrong with a call that ended in a raw error; None where nothing is, and the error is another's.

        A keyword that the verb does not take, one missing or too many, or an argument of another kind than its
        annotation says.
        """
        if isinstance(error, ThalwegError):
            return None
        for name in kwargs:
            if name not in self.signature.parameters:
                return unknown_name(f"argument of {self.name}", name, set(self.signature.parameters) - {"self"})
        try:
            self.check(args, kwargs)
            bound = self.signature.bind(*args, **kwargs).arguments
        except UsageError as mistake:
            return mistake
        except TypeError as mistake:
            return UsageError(f"{self.name}: {mistake}; it is {self.name}({', '.join(self._words())}).")
        return self._of_another_kind(bound, ours=_is_ours(error.__traceback__))

    def _of_another_kind(self, given: Mapping[str, Any], *, ours: bool) -> UsageError | None:
        """Which argument is not what its annotation says; numbers without a dimension where the error is of ours."""
        for find in (misfit, flat) if ours else (misfit,):
            for name, value in given.items():
                taken = self.signature.parameters[name]
                several = taken.kind in (taken.VAR_POSITIONAL, taken.VAR_KEYWORD)  # annotated one by one
                wanted = "" if several else find(taken.annotation, value)
                again = reloaded(taken.annotation, value) if wanted else ""
                if again:
                    return UsageError(f"{self.name} {name} {again}.")
                if wanted:
                    try:
                        check_type(f"{self.name} {name}", value, (), wanted)
                    except UsageError as error:
                        return error
        return None

    def _words(self) -> list[str]:
        """The arguments as a person writes them, those by keyword alone after a star."""
        words, starred = [], False
        for name, given in self.signature.parameters.items():
            if given.kind is given.KEYWORD_ONLY and not starred:
                words, starred = [*words, "*"], True
            words.append(name if given.default is given.empty else f"{name}=...")
        return words

    def _refuse(self, name: str, kind: type, given: Any) -> None:
        again = reloaded(kind, given)
        if again:
            msg = f"{self.name} {name} {again}."
            raise UsageError(msg)
        bases = {base.__name__ for base in type(given).__mro__} | ({"Mapping"} if isinstance(given, Mapping) else set())
        hint = next((words for base, words in _INSTEAD.get(kind.__name__, ()) if base in bases), None)
        what, noun = f"{self.name} {name}", with_article(kind)
        if hint is None:
            check_type(what, given, kind, _NOUNS.get(kind.__name__, noun))
        msg = f"{what} must be {noun}; got {with_article(type(given))}: {hint}."
        raise UsageError(msg)


def in_words(verb: Callable[Given, Found]) -> Callable[Given, Found]:
    """The verb, which says in words which argument is of another kind than it takes.

    >>> import numpy as np
    >>> from numpy.typing import ArrayLike
    >>> from thalweg.arguments import in_words
    >>> @in_words
    ... def centered(values: ArrayLike) -> np.ndarray:
    ...     return values - np.mean(values)
    >>> centered("x")
    Traceback (most recent call last):
    ...
    thalweg.errors.UsageError: centered values must be numbers (an array, a tensor or a list); got 'x'.

    Cost: a microsecond; more is looked at where the verb ends in a raw error.

    Raises:
        UsageError: in place of a raw error, where an argument does not fit its annotation.
    """
    return told_by(Arguments(verb), verb)


def told_by(arguments: Arguments, verb: Callable[Given, Found]) -> Callable[Given, Found]:
    """See `in_words`, where what the verb takes was read before."""

    @functools.wraps(verb)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        try:
            return verb(*args, **kwargs)
        except MISREAD as error:
            misread = arguments.misread(args, kwargs, error)
            if misread is None:
                raise
            raise misread from error

    return call


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether an error arose in our own code, not in a function of the user's."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__", "").startswith("thalweg.")


def _has_stand_ins(kind: type) -> bool:
    return getattr(kind, "_is_protocol", False) or inspect.isabstract(kind) or kind.__name__ in _HAVE_STAND_INS
