"""Studies: claims, and the experiments that decide them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from thalweg.claims import Claim, Finding
from thalweg.studies.lab import Lab

Body = Callable[[Lab], Finding | Iterator[Finding]]


@dataclass(frozen=True)
class Experiment:
    """What decides one claim, or a few at one go. An interrupted study resumes after its last whole experiment.

    Args:
        claims: in the order in which they are decided.
        body: returns the finding, or yields one for each claim as soon as it has it.
    """

    claims: tuple[Claim, ...]
    body: Body

    def __call__(self, lab: Lab) -> Iterator[Finding]:
        """The findings, as they come."""
        found = self.body(lab.on(self.claims))
        if isinstance(found, Finding):
            yield found
        else:
            yield from found


def decides(*claims: Claim) -> Callable[[Body], Experiment]:
    """Make a function of the lab the experiment that decides these claims.

    It returns one finding, or yields one for each claim from runs that they share.

    >>> import thalweg as tw
    >>> from thalweg.claims import Claim, greater
    >>> claim = Claim("X1", "One is more than nothing.", "It is more.", greater(0), "numbers")
    >>> @tw.studies.decides(claim)
    ... def experiment(lab):
    ...     return lab.finding(tw.statistics.interval.mean([0.9, 1.0, 1.1]))
    >>> [finding.verdict.outcome for finding in experiment(tw.studies.Lab())]
    ['holds']
    """
    return lambda body: Experiment(claims, body)


@dataclass(frozen=True)
class Study:
    """Claims, and the experiments that decide them.

    Args:
        name: as on the command line, such as "optimizers".
        title: for a person.
        experiments: in the order in which they are run.
    """

    name: str
    title: str
    experiments: tuple[Experiment, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """In the order in which they are decided."""
        return tuple(claim for experiment in self.experiments for claim in experiment.claims)
