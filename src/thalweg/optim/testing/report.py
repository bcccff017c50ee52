"""What a ladder found: one rung each, and the report of all."""

import textwrap
from dataclasses import dataclass

from thalweg.errors import ThalwegError, unknown_name

PASSED, FAILED, ABSENT = "passed", "failed", "not applicable"
_NO_LAW = (
    'no law but what holds for every optimizer, so its formula is unchecked; give claims=Claims("adam", {"lr": 1e-3, '
    "...}), or a reference"
)


class RequirementError(ThalwegError, AssertionError):
    """An optimizer that breaks a law it claims to obey."""


@dataclass(frozen=True)
class Rung:
    """One check of an optimizer.

    Args:
        name: what is checked.
        verdict: "passed", "failed" or "not applicable".
        measured: what was found, or why the check says nothing here.
        expected: what the law demands.
        sentence: the law.
    """

    name: str
    verdict: str
    measured: str
    expected: str
    sentence: str


@dataclass(frozen=True)
class Report:
    """The rungs of one optimizer's ladder; printed, a table of them with the laws that were broken below.

    Args:
        subject: the optimizer.
        rungs: what was found.
        law: of which family it was held to; None: to that of none.
    """

    subject: str
    rungs: tuple[Rung, ...]
    law: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no rung failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Rung, ...]:
        """The rungs that failed."""
        return tuple(rung for rung in self.rungs if rung.verdict == FAILED)

    def __getitem__(self, name: str) -> Rung:
        """The rung of that name.

        Raises:
            UsageError: there is none.
        """
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise unknown_name("rung", name, [rung.name for rung in self.rungs])

    def raise_if_failed(self) -> None:
        """Raise RequirementError, with this report as its text, if a rung failed."""
        if self.failed:
            raise RequirementError(str(self))

    def __str__(self) -> str:
        counts = [sum(rung.verdict == verdict for rung in self.rungs) for verdict in (PASSED, FAILED, ABSENT)]
        lines = [f"{self.subject}: {counts[0]} passed, {counts[1]} failed, {counts[2]} not applicable"]
        held = f"the law {self.law!r}" if self.law else _NO_LAW
        lines += [textwrap.fill(f"Held to {held}.", 118), ""]
        widths = [max(len(getattr(rung, field)) for rung in self.rungs) for field in ("name", "verdict")]
        for rung in self.rungs:
            says = rung.measured + (f"; expected {rung.expected}" if rung.verdict != ABSENT else "")
            head = f"{rung.name:<{widths[0]}}  {rung.verdict:<{widths[1]}}  "
            lines.append(textwrap.fill(head + says, 118, subsequent_indent=" " * len(head)))
        broken = [textwrap.fill(f"{rung.name}: {rung.sentence}", 118) for rung in self.failed]
        return "\n".join([*lines, *(["", "Broken:", *broken] if broken else [])])
