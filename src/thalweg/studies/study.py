"""Studies: claims, and the experiments that decide them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from thalweg.claims import Claim, Finding
from thalweg.errors import check_type
from thalweg.studies.lab import Lab

Body = Callable[[Lab], Finding | Iterator[Finding]]


@dataclass(frozen=True)
class Experiment:
    """What decides one claim, or a few at one go; made by `decides`. Called with a lab it yields the findings.

    An interrupted study resumes after its last whole experiment.

    >>> import thalweg as tw
    >>> claim = tw.claims.Claim("X1", "One is more than nothing.", "It is more.", tw.claims.greater(0), "numbers")
    >>> @tw.studies.decides(claim)
    ... def experiment(lab):
    ...     return lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]))
    >>> experiment.claims[0].id, [finding.verdict.outcome for finding in experiment(tw.studies.Lab())]
    ('X1', ['holds'])

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
    >>> claims = [tw.claims.Claim(name, "", "", tw.claims.greater(0), "numbers") for name in ("X1", "X2")]
    >>> @tw.studies.decides(*claims)
    ... def experiment(lab):
    ...     numbers = [0.9, 1.0, 1.1]
    ...     yield lab.finding(tw.statistics.mean(numbers), claim=claims[0])
    ...     yield lab.finding(tw.statistics.difference(numbers, [2.0, 2.0, 2.0]), claim=claims[1])
    >>> [finding.verdict.outcome for finding in experiment(tw.studies.Lab())]
    ['holds', 'fails']
    """
    return lambda body: Experiment(claims, body)


@dataclass(frozen=True)
class Study:
    """Claims, and the experiments that decide them.

    >>> import thalweg as tw
    >>> claim = tw.claims.Claim("X1", "One is more than nothing.", "It is more.", tw.claims.greater(0), "numbers")
    >>> @tw.studies.decides(claim)
    ... def experiment(lab):
    ...     return lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]))
    >>> study = tw.studies.Study("one", "One and nothing", (experiment,))
    >>> [claim.id for claim in study.claims]
    ['X1']

    Args:
        name: as on the command line, such as "optimizers".
        title: for a person.
        experiments: in the order in which they are run.

    Raises:
        UsageError: something else than experiments.
    """

    name: str
    title: str
    experiments: tuple[Experiment, ...]

    def __post_init__(self) -> None:
        check_type(f"The experiments of {self.name}", self.experiments, tuple, "a tuple such as (momentum.experiment,)")
        for experiment in self.experiments:
            write = "functions of the lab with @decides(CLAIM) above them"
            check_type(f"The experiments of {self.name}", experiment, Experiment, write)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """In the order in which they are decided."""
        return tuple(claim for experiment in self.experiments for claim in experiment.claims)
