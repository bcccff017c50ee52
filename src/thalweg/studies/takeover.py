"""What a study takes over from a store: findings of a run that was interrupted, if it was made alike."""

from dataclasses import dataclass, replace

from thalweg.claims.result import StudyResult
from thalweg.errors import ThalwegError
from thalweg.results import Provenance
from thalweg.storage import Store
from thalweg.studies import catalog
from thalweg.studies.lab import Lab, Scale
from thalweg.studies.study import Study


@dataclass(frozen=True)
class Takeover:
    """What a study takes from its store, and what it computes.

    Args:
        taken: the claims whose findings an interrupted run left there.
        computed: all others.
        begun: when that run began, UTC, ISO 8601; "" without one.
        obstacle: why nothing is taken although there is such a run; "" where there is none or something is taken.
        replaced: whether the store has a finished result of this study, which the new one takes the place of.
    """

    taken: tuple[str, ...]
    computed: tuple[str, ...]
    begun: str = ""
    obstacle: str = ""
    replaced: bool = False


def takeover(
    study: str | Study, *, scale: Scale = "quick", seed: int = 0, store: Store | None = None, device: str = "cpu"
) -> Takeover:
    """What `iterate` with the same arguments will take from the store.

    >>> from thalweg.studies.takeover import takeover
    >>> takeover("schedules").computed
    ('SCH1', 'SCH2', 'SCH3')
    """
    chosen = catalog.find(study) if isinstance(study, str) else study
    return left(chosen, begun(chosen, Lab(scale, seed, device=device)), store)[1]


def finished(
    study: str | Study, *, scale: Scale = "quick", seed: int = 0, store: Store, device: str = "cpu"
) -> StudyResult | None:
    """The result of `run` with the same arguments, if the store has it whole and made alike; None otherwise.

    >>> import tempfile
    >>> import thalweg as tw
    >>> from thalweg.studies.takeover import finished
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     finished("schedules", store=tw.Store(folder)) is None
    True
    """
    chosen = catalog.find(study) if isinstance(study, str) else study
    wanted = begun(chosen, Lab(scale, seed, device=device))
    key = _finished_key(wanted)
    if ("study", key) not in store:
        return None
    try:
        found = StudyResult.load(store, key)
    except (ThalwegError, ValueError):
        return None
    alike = not _obstacle(chosen, wanted, found) and found.planned == wanted.planned
    return found if alike else None


def begun(study: Study, lab: Lab) -> StudyResult:
    """The result without a finding."""
    command = f"thalweg study {study.name} --scale {lab.scale} --seed {lab.seed}"
    if lab.device != "cpu":
        command += f" --device {lab.device}"
    provenance = Provenance.here(lab.seed, lab.device, command=command)
    return StudyResult(
        study=study.name,
        scale=lab.scale,
        seed=lab.seed,
        seconds=0.0,
        version=provenance.versions["thalweg"],
        findings=(),
        title=study.title,
        planned=tuple(claim.id for claim in study.claims),
        provenance=provenance,
    )


def left(study: Study, result: StudyResult, store: Store | None) -> tuple[StudyResult | None, Takeover]:
    """What an interrupted run of the same study left, if it was made alike; and what of it is taken over."""
    everything = tuple(claim.id for claim in study.claims)
    if store is None:
        return None, Takeover((), everything)
    replaced = ("study", _finished_key(result)) in store
    if ("study", result.key) not in store:
        return None, Takeover((), everything, replaced=replaced)
    try:
        kept = StudyResult.load(store, result.key)
    except (ThalwegError, ValueError):
        return None, Takeover((), everything, obstacle="its record is damaged or of another form", replaced=replaced)
    since, obstacle = kept.provenance.time, _obstacle(study, result, kept)
    if obstacle:
        return None, Takeover((), everything, since, obstacle, replaced)
    there = {finding.verdict.claim.id for finding in kept.findings}
    taken = tuple(
        claim.id
        for experiment in study.experiments
        if there.issuperset(one.id for one in experiment.claims)
        for claim in experiment.claims
    )
    computed = tuple(name for name in everything if name not in taken)
    if not taken:
        return None, Takeover((), computed, since, "its first experiment had not ended", replaced)
    return kept, Takeover(taken, computed, since, replaced=replaced)


def _obstacle(study: Study, wanted: StudyResult, found: StudyResult) -> str:
    """How a result in a store was made otherwise than one wanted now; "" where it was made alike."""
    then, now = found.provenance, wanted.provenance
    if then.device != now.device:
        return f"it was made on {then.device}, and this one is on {now.device}"
    other = [
        f"{name} {then.versions.get(name, 'missing')}, now {now.versions.get(name, 'missing')}"
        for name in sorted({*then.versions, *now.versions})
        if then.versions.get(name) != now.versions.get(name)
    ]
    if other:
        return f"it was made with {'; '.join(other)}"
    if any(finding.verdict.claim not in study.claims for finding in found.findings):
        return "its claims have changed since"
    return ""


def _finished_key(result: StudyResult) -> str:
    """The key in a store of this result, once it is whole."""
    return replace(result, planned=()).key
