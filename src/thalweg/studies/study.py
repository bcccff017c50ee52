"""Studies: the experiments that decide a few claims."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from thalweg.claims import Claim, Finding
from thalweg.studies.lab import Lab


@dataclass(frozen=True)
class Experiment:
    """What decides one claim, or a few at one go. An interrupted study resumes after its last whole experiment.

    Args:
        claims: in the order in which they are decided.
        run: yields one finding for each claim, as soon as it has it.
    """

    claims: tuple[Claim, ...]
    run: Callable[[Lab], Iterator[Finding]]


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
