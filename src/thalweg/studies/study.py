"""Studies: the experiment that decides a few claims, what it is given and what it yields."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from thalweg.errors import UsageError, unknown_name
from thalweg.progress import Watcher, ignore
from thalweg.results import Figure, Reading
from thalweg.studies.claim import Claim, Verdict

Scale = Literal["quick", "full"]
SCALES: tuple[Scale, ...] = ("quick", "full")
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What a study is given.

    Args:
        scale: "quick" may leave claims undecided; "full" aims to decide every one.
        seed: from which every random draw of the study derives.
        watch: whom to tell how far it is.
        device: where tensors live.
    """

    scale: Scale = "quick"
    seed: int = 0
    watch: Watcher = ignore
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise unknown_name("scale", self.scale, SCALES)

    def pick(self, *, quick: T, full: T) -> T:
        """The value for this scale."""
        return quick if self.scale == "quick" else full


@dataclass(frozen=True)
class Finding:
    """What a study found about one claim.

    Args:
        verdict: from `claim.judge`.
        figures: what to draw.
        readings: the measurements behind it, each with another name.
        sentences: what was found, rendered from the numbers.
    """

    verdict: Verdict
    figures: tuple[Figure, ...] = ()
    readings: tuple[Reading, ...] = ()
    sentences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [reading.name for reading in self.readings]
        if len(set(names)) < len(names):
            msg = f"The readings of a finding need different names; {self.verdict.claim.id} has {names}."
            raise UsageError(msg)


@dataclass(frozen=True)
class Experiment:
    """What decides one claim, or a few at one go. An interrupted study resumes after its last whole experiment.

    Args:
        claims: in the order in which they are decided.
        run: yields one finding for each claim, as soon as it has it.
    """

    claims: tuple[Claim, ...]
    run: Callable[[Context], Iterator[Finding]]


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
