"""The verb `studies.run`."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from thalweg.errors import UsageError
from thalweg.progress import Progress, Watcher, ignore
from thalweg.results import Provenance, Store
from thalweg.studies import catalog
from thalweg.studies.result import StudyResult
from thalweg.studies.study import Context, Finding, Scale, Study


def run(
    study: str | Study,
    *,
    scale: Scale = "quick",
    seed: int = 0,
    watch: Watcher = ignore,
    found: Callable[[Finding], None] | None = None,
    store: Store | None = None,
    device: str = "cpu",
) -> StudyResult:
    """Run a study, claim by claim.

    Args:
        study: its name, or the study itself.
        scale: "quick" or "full".
        seed: from which every random draw derives.
        watch: called with the progress inside each experiment, at the start and after each claim.
        found: called with each finding as soon as there is one.
        store: where the result is saved after each claim, so that an interruption loses none of them.
        device: where tensors live.

    Returns:
        The findings on all claims.

    Raises:
        UsageError: no such study or scale, or a study that does not decide each of its claims once.
        KeyboardInterrupt: Ctrl-C; the findings so far are in the store, under the key of an unfinished run.
    """
    chosen = catalog.find(study) if isinstance(study, str) else study
    start = time.perf_counter()
    command = f"thalweg study {chosen.name} --scale {scale} --seed {seed}"
    provenance = Provenance.here(seed, device, command=command if device == "cpu" else f"{command} --device {device}")
    result = StudyResult(
        study=chosen.name,
        scale=scale,
        seed=seed,
        seconds=0.0,
        version=provenance.versions["thalweg"],
        findings=(),
        title=chosen.title,
        planned=tuple(claim.id for claim in chosen.claims),
        provenance=provenance,
    )
    watch(Progress(chosen.name, 0, len(chosen.claims), 0.0))
    for finding in _checked(chosen, Context(scale, seed, watch, store, device)):
        seconds = time.perf_counter() - start
        result = replace(result, findings=(*result.findings, finding), seconds=seconds)
        if store is not None:
            result.save(store)
        if found is not None:
            found(finding)
        watch(Progress(chosen.name, len(result.findings), len(chosen.claims), seconds))
    return result


def _checked(study: Study, context: Context) -> Iterator[Finding]:
    """The study's findings, each claim of it once."""
    expected = [claim.id for claim in study.claims]
    seen: list[str] = []
    for finding in study.run(context):
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
