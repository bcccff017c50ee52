"""Arguments that cannot be meant: said in words, with what to write instead, before anything is computed."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.errors import UsageError, check_type, unknown_name

__all__ = ["Arguments"]

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
        self.name = verb.__qualname__.removesuffix(".__init__")
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

    def misread(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> UsageError | None:
        """The error of a call that the verb cannot take (an unknown keyword, one missing or too many), or None."""
        for name in kwargs:
            if name not in self.signature.parameters:
                return unknown_name(f"argument of {self.name}", name, set(self.signature.parameters) - {"self"})
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            return UsageError(f"{self.name}: {error}; it is {self.name}({', '.join(self._words())}).")
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
        bases = {base.__name__ for base in type(given).__mro__} | ({"Mapping"} if isinstance(given, Mapping) else set())
        hint = next((words for base, words in _INSTEAD.get(kind.__name__, ()) if base in bases), None)
        what, noun = f"{self.name} {name}", _with_article(kind)
        if hint is None:
            check_type(what, given, kind, _NOUNS.get(kind.__name__, noun))
        msg = f"{what} must be {noun}; got {_with_article(type(given))}: {hint}."
        raise UsageError(msg)


def _has_stand_ins(kind: type) -> bool:
    return getattr(kind, "_is_protocol", False) or inspect.isabstract(kind) or kind.__name__ in _HAVE_STAND_INS


def _with_article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
