"""What a rule does, in words: its formula, every convention it chose, its numbers, and torch's name for it."""

import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields

from thalweg.errors import check_type
from thalweg.optim.conventions import Convention, conventions, spoken
from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.rule import Rule
from thalweg.optim.torch_equivalent import call_in_torch
from thalweg.optim.wrapper import Wrapper

_WIDTH = 112
_PAPER = re.compile(r"\(([A-Z][^()]*\b(?:19|20)\d\d\b[^()]*(?:\([^()]*\)[^()]*)*)\)")
_KEY = re.compile(r"^\s*(\S+)\s*(?:<-|=)")


@dataclass(frozen=True)
class Explanation:
    """A rule in words; printed, all of it, with what is inside it below.

    Args:
        name: of the rule.
        formula: its lines.
        conventions: what it chose where papers and libraries differ.
        values: its hyper-parameters as written, sweeps as ranges.
        papers: where it comes from.
        torch: the equal call, with `params` for the parameters and names for what is swept; None: torch has none.
        remark: why torch has none, or where the call differs.
        inside: what it is around, or its fallback; `within` says which.
    """

    name: str
    formula: tuple[str, ...]
    conventions: tuple[Convention, ...]
    values: Mapping[str, str]
    papers: tuple[str, ...]
    torch: str | None
    remark: str
    inside: "Explanation | None" = None
    within: str = ""

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        parts = [
            ("formula", list(self.formula)),
            ("conventions", [str(convention) for convention in self.conventions]),
            ("values", [values] if values else []),
            ("papers" if len(self.papers) > 1 else "paper", list(self.papers)),
            ("in torch", [text for text in (self.torch, self.remark) if text]),
        ]
        lines = [self.name]
        for title, texts in parts:
            lines += [f"  {title}"] if texts else []
            for text in texts:
                wrapped = textwrap.wrap(text, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6)
                lines += [f"    {text}"] if title == "formula" else wrapped
        if self.inside is not None:
            lines += ["", f"{self.within} {self.inside}"]
        return "\n".join(lines)


def explain(rule: Rule | Wrapper) -> Explanation:
    """What a rule, or something around one, does: from the outside in.

    Raises:
        UsageError: it is neither.
    """
    check_type("explain rule", rule, (Rule, Wrapper), "a rule such as optim.AdamW(lr=1e-3)")
    numbers = {one.name: getattr(rule, one.name) for one in fields(rule) if one.name in rule.hyper_parameters()}
    torch, remark = call_in_torch(rule)
    fallback = rule.fallback if isinstance(rule, MatrixRule) else None
    inside = rule.rule if isinstance(rule, Wrapper) else fallback
    return Explanation(
        type(rule).__name__,
        formula(type(rule)),
        tuple(conventions(rule)),
        {name: spoken(value) for name, value in numbers.items()},
        papers(type(rule)),
        torch,
        remark,
        None if inside is None else explain(inside),
        "around" if isinstance(rule, Wrapper) else "and for all other tensors",
    )


def formula(kind: type) -> tuple[str, ...]:
    """The indented lines of a class's docstring, or its sentences with an arrow; what these change is inherited."""
    text = inspect.cleandoc(kind.__doc__ or "")
    own = [line.strip() for line in text.splitlines() if line.startswith("    ") and ("<-" in line or " = " in line)]
    if not own:
        sentences = re.split(r"(?<=\.)\s|;|\s\([A-Z]", " ".join(text.split()))
        own = [sentence.strip(" .") for sentence in sentences if "<-" in sentence]
    base = kind.__mro__[1]
    above = formula(base) if base not in (Rule, MatrixRule, Wrapper, object) else ()
    keys = {key for line in own for part in line.split(",  ") if (key := _key(part))}
    kept = [line for line in above if _key(line) not in keys]
    at = next((index for index, line in enumerate(above) if _key(line) in keys), len(kept))
    return (*kept[:at], *own, *kept[at:])


def _key(assignment: str) -> str | None:
    found = _KEY.match(assignment)
    return found.group(1) if found else None


def papers(kind: type) -> tuple[str, ...]:
    """What a class's docstring cites in parentheses."""
    return tuple(_PAPER.findall(" ".join((kind.__doc__ or "").split())))
