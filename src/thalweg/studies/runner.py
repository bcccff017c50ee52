"""The verb `studies.run`, and the same claim by claim."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from thalweg.claims import Finding
from thalweg.claims.result import StudyResult
from thalweg.errors import UsageError
from thalweg.progress import Progress, Watcher, automatic, ignore, watched
from thalweg.storage import Store
from thalweg.studies import catalog
from thalweg.studies.lab import Lab, Scale
from thalweg.studies.study import Experiment, Study
from thalweg.studies.takeover import Takeover, begun, left


def run(
    study: str | Study,
    *,
    scale: Scale = "quick",
    seed: int = 0,
    progress: Watcher | None = automatic,
    store: Store | None = None,
    device: str = "cpu",
) -> StudyResult:
    """Run a study to its end.

    >>> import thalweg as tw
    >>> claim = tw.claims.Claim("X1", "One is more than nothing.", "It is more.", tw.claims.greater(0), "numbers")
    >>> @tw.studies.decides(claim)
    ... def experiment(lab):
    ...     return lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]))
    >>> result = tw.studies.run(tw.studies.Study("one", "One and nothing", (experiment,)))
    >>> print(result.findings[0].verdict.interval)
    1 [0.5979, 1.402]

    Args:
        study: its name, or the study itself.
        scale: "quick" or "full".
        seed: from which every random draw derives.
        progress: told how far it is inside each experiment, at the start and after each claim.
        store: where the result is saved after each claim. A run that was interrupted goes on from there: what
            an experiment found is taken over if claims, versions and device are the same.
        device: where tensors live.

    Returns:
        The findings on all claims.

    Raises:
        UsageError: no such study or scale, or a study that does not decide each of its claims once.
        KeyboardInterrupt: Ctrl-C; the findings so far are in the store, under the key of an unfinished run.
    """
    with watched(progress) as told:  # one display for all claims
        *_, result = iterate(study, scale=scale, seed=seed, progress=told, store=store, device=device)
    return result


def iterate(
    study: str | Study,
    *,
    scale: Scale = "quick",
    seed: int = 0,
    progress: Watcher | None = automatic,
    store: Store | None = None,
    device: str = "cpu",
) -> Iterator[StudyResult]:
    """The result of `run` as it grows: yielded with each further finding, those of an interrupted run first.

    >>> import thalweg as tw
    >>> claim = tw.claims.Claim("X1", "One is more than nothing.", "It is more.", tw.claims.greater(0), "numbers")
    >>> @tw.studies.decides(claim)
    ... def experiment(lab):
    ...     return lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]))
    >>> study = tw.studies.Study("one", "One and nothing", (experiment,))
    >>> [result.findings[-1].verdict.outcome for result in tw.studies.iterate(study)]
    ['holds']

    The arguments are those of `run`. Between two results nothing is shown, and whoever has them may show their own.
    """
    chosen = catalog.find(study) if isinstance(study, str) else study
    told = _Relay()
    lab = Lab(scale, seed, told, device)
    start = time.perf_counter()
    result = begun(chosen, lab)
    kept, over = left(chosen, result, store)
    before = kept.seconds if kept else 0.0
    if kept:
        result = replace(result, provenance=kept.provenance, seconds=before)
    findings = _findings(chosen, lab, kept, over)
    while True:
        # Not around the yield: what the caller does meanwhile is no part of the study.
        with watched(progress) as told.to:
            seconds = time.perf_counter() - start
            told(Progress(chosen.name, len(result.findings), len(chosen.claims), seconds))
            finding = next(findings, None)
            if finding is None:
                return
            seconds = time.perf_counter() - start
            result = replace(result, findings=(*result.findings, finding), seconds=before + seconds)
            last = len(result.findings) == len(chosen.claims)
            if store is not None and (last or finding.verdict.claim.id not in over.taken):
                result.save(store)
        yield result


@dataclass
class _Relay:
    """A watcher that passes on what it is told to whoever watches at the time."""

    to: Watcher = ignore

    def __call__(self, report: Progress) -> None:
        self.to(report)


def _findings(study: Study, lab: Lab, kept: StudyResult | None, over: Takeover) -> Iterator[Finding]:
    """All findings in order, taken over or computed."""
    found = {finding.verdict.claim.id: finding for finding in kept.findings} if kept else {}
    for experiment in study.experiments:
        if all(claim.id in over.taken for claim in experiment.claims):
            yield from (found[claim.id] for claim in experiment.claims)
        else:
            yield from _checked(study, experiment, lab)


def _checked(study: Study, experiment: Experiment, lab: Lab) -> Iterator[Finding]:
    """The experiment's findings, each claim of it once."""
    expected = [claim.id for claim in experiment.claims]
    seen: list[str] = []
    for finding in experiment(lab):
        name = finding.verdict.claim.id
        if name not in expected or name in seen:
            msg = f"The study {study.name!r} must decide each of {', '.join(expected)} once; it went on with {name}."
            raise UsageError(msg)
        seen.append(name)
        yield finding
    if len(seen) < len(expected):
        missing = ", ".join(name for name in expected if name not in seen)
        msg = f"The study {study.name!r} ended without a finding on {missing}."
        raise UsageError(msg)
