"""What a check found: the outcome of each requirement, and the report of all."""

import textwrap
from dataclasses import dataclass

from thalweg.errors import ThalwegError, unknown_name

PASSED, FAILED, ABSENT = "passed", "failed", "not applicable"
_NO_LAW = (
    'no law but what holds for every optimizer, so its formula is unchecked; give specification=Specification("adam", '
    '{"lr": 1e-3, ...}), or a reference'
)


class RequirementError(ThalwegError, AssertionError):
    """An optimizer fails a requirement; the text is the report.

    >>> import thalweg as tw
    >>> wrong = tw.optim.testing.Specification("sgd", {"lr": 0.2})
    >>> try:
    ...     tw.optim.testing.check(tw.optim.SGD(0.1), specification=wrong).raise_if_failed()
    ... except tw.optim.testing.RequirementError as error:
    ...     print(str(error).splitlines()[0])
    SGD(lr=0.1): 14 passed, 6 failed, 2 not applicable
    """


@dataclass(frozen=True)
class Outcome:
    """What one requirement came to.

    Args:
        name: of the requirement.
        verdict: "passed", "failed" or "not applicable".
        measured: what was found, or why the requirement is not applicable.
        expected: what the law demands.
        sentence: the law.

    >>> import thalweg as tw
    >>> outcome = tw.optim.testing.check(tw.optim.Lion(0.01))["step size"]
    >>> outcome.verdict, outcome.sentence
    ('passed', 'Every entry moves by the rate at every step.')
    """

    name: str
    verdict: str
    measured: str
    expected: str
    sentence: str


@dataclass(frozen=True)
class Report:
    """The outcomes of one optimizer; printed, a table of them with the laws that were broken below.

    Args:
        subject: the optimizer.
        outcomes: one for each requirement that is asked of it.
        law: of which family it was held to; None: to that of none.

    >>> import thalweg as tw
    >>> report = tw.optim.testing.check(tw.optim.SGD(0.1))
    >>> report.passed, report.law, report["rate"].verdict
    (True, 'sgd', 'passed')
    """

    subject: str
    outcomes: tuple[Outcome, ...]
    law: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no requirement failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The outcomes that are failures."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == FAILED)

    def __getitem__(self, name: str) -> Outcome:
        """The outcome of the requirement of that name.

        Raises:
            UsageError: there is none.
        """
        for outcome in self.outcomes:
            if outcome.name == name:
                return outcome
        raise unknown_name("requirement", name, [outcome.name for outcome in self.outcomes])

    def raise_if_failed(self) -> None:
        """Raise RequirementError, with this report as its text, if a requirement failed."""
        if self.failed:
            raise RequirementError(str(self))

    def __str__(self) -> str:
        counts = [sum(one.verdict == verdict for one in self.outcomes) for verdict in (PASSED, FAILED, ABSENT)]
        lines = [f"{self.subject}: {counts[0]} passed, {counts[1]} failed, {counts[2]} not applicable"]
        held = f"the law {self.law!r}" if self.law else _NO_LAW
        lines += [textwrap.fill(f"Held to {held}.", 118), ""]
        widths = [max(len(getattr(outcome, field)) for outcome in self.outcomes) for field in ("name", "verdict")]
        for outcome in self.outcomes:
            says = outcome.measured + (f"; expected {outcome.expected}" if outcome.verdict != ABSENT else "")
            head = f"{outcome.name:<{widths[0]}}  {outcome.verdict:<{widths[1]}}  "
            lines.append(textwrap.fill(head + says, 118, subsequent_indent=" " * len(head)))
        broken = [textwrap.fill(f"{outcome.name}: {outcome.sentence}", 118) for outcome in self.failed]
        return "\n".join([*lines, *(["", "Broken:", *broken] if broken else [])])
