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
from thalweg.optim.torch_equivalent import torch_equivalent
from thalweg.optim.wrapper import Wrapper
from thalweg.results import Summarized

_WIDTH = 112
_PAPER = re.compile(r"\(([A-Z][^()]*\b(?:19|20)\d\d\b[^()]*(?:\([^()]*\)[^()]*)*)\)")
_KEY = re.compile(r"^\s*(\S+)\s*(?:<-|=)")


@dataclass(frozen=True)
class Explanation(Summarized):
    """A rule in words; printed, all of it, with the rule inside it below.

    Args:
        name: of the rule.
        formula: its lines.
        conventions: what it chose where papers and libraries differ.
        values: its hyper-parameters as written, sweeps as ranges.
        papers: where it comes from.
        torch: the equal call, with `params` for the parameters and names for what is swept; None: torch has none.
        remark: why torch has none, or where the call differs.
        inside: the rule that it wraps, or its fallback; `within` says which.

    >>> import thalweg as tw
    >>> words = tw.optim.explain(tw.optim.Muon())
    >>> words.name, words.within, words.inside.name
    ('Muon', 'and for all other tensors', 'AdamW')
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

    def facts(self) -> dict[str, str]:
        """All parts but the rule inside, one a line."""
        parts = {"rule": self.name, "formula": "; ".join(self.formula)}
        parts["conventions"] = " ".join(map(str, self.conventions))
        parts["values"] = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        parts |= {"papers": "; ".join(self.papers), "in torch": " ".join(filter(None, (self.torch, self.remark)))}
        parts[self.within] = "" if self.inside is None else f"{self.inside.name} (see .inside)"
        return {name: text for name, text in parts.items() if text}

    def __repr__(self) -> str:
        return f"Explanation({self.name}: {self.formula[-1] if self.formula else 'no formula'}; print() tells all)"

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
    """What a rule, or a wrapper of one, does: from the outside in.

    Raises:
        UsageError: it is neither.

    >>> import thalweg as tw
    >>> print(tw.optim.explain(tw.optim.RMSprop(0.01)))
    RMSprop
      formula
        v <- alpha v + (1 - alpha) g^2, theta <- theta - lr g / (sqrt(v) + eps)
      conventions
        decay = 'l2': the gradient becomes g + weight_decay theta, before anything else sees it. Here weight_decay
          is 0.
        eps_inside = False: eps is added to the root of v (torch).
      values
        lr = 0.01, weight_decay = 0.0, alpha = 0.99, eps = 1e-08
      paper
        Tieleman & Hinton, 2012
      in torch
        torch.optim.RMSprop(params, lr=0.01, alpha=0.99, eps=1e-08)
    """
    check_type("explain rule", rule, (Rule, Wrapper), "a rule such as optim.AdamW(lr=1e-3)")
    numbers = {one.name: getattr(rule, one.name) for one in fields(rule) if one.name in rule.hyper_parameters()}
    torch, remark = torch_equivalent(rule)
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
        "wraps" if isinstance(rule, Wrapper) else "and for all other tensors",
    )


def formula(kind: type) -> tuple[str, ...]:
    """The indented lines of a class's docstring, or its sentences with an arrow; what these change is inherited."""
    text = _described(kind)
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


def _described(kind: type) -> str:
    """A class's docstring without its examples."""
    return inspect.cleandoc(kind.__doc__ or "").partition("\n>>>")[0]


def _key(assignment: str) -> str | None:
    found = _KEY.match(assignment)
    return found.group(1) if found else None


def papers(kind: type) -> tuple[str, ...]:
    """What a class's docstring cites in parentheses."""
    return tuple(_PAPER.findall(" ".join(_described(kind).split())))
