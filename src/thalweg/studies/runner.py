"""The verb `studies.run`, and the same claim by claim."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

from thalweg.claims.result import StudyResult
from thalweg.progress import Progress, Watcher, automatic, ignore, watched
from thalweg.storage import Store
from thalweg.studies import catalog
from thalweg.studies.growing import Growing
from thalweg.studies.lab import Lab, Scale
from thalweg.studies.piece import checked
from thalweg.studies.study import Study
from thalweg.studies.together import Together
from thalweg.workers import Workers, check_workers


def run(
    study: str | Study,
    *,
    scale: Scale = "quick",
    seed: int = 0,
    progress: Watcher | None = automatic,
    store: Store | None = None,
    device: str = "cpu",
    workers: Workers | None = None,
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
        workers: that carry out the experiments side by side, such as `tw.workers.Processes(2)`; None is this process,
            one after the other. Verdicts are the same, and so are numbers to the bit, at equal threads and equal plans
            (a plan is measured, and another one differs by rounding). `seconds` is then the sum over the experiments.
            Only this process writes the store.

    Returns:
        The findings on all claims.

    Raises:
        UsageError: no such study or scale, or a study that does not decide each of its claims once.
        WorkerError: a study that cannot be sent to workers, or a process that died several times in a row.
        KeyboardInterrupt: Ctrl-C; the findings so far are in the store, under the key of an unfinished run.
        Exception: what an experiment raised; with workers, with a note that names it, and what ended before is kept.
    """
    with watched(progress) as told:  # one display for all claims
        *_, result = iterate(study, scale=scale, seed=seed, progress=told, store=store, device=device, workers=workers)
    return result


def iterate(
    study: str | Study,
    *,
    scale: Scale = "quick",
    seed: int = 0,
    progress: Watcher | None = automatic,
    store: Store | None = None,
    device: str = "cpu",
    workers: Workers | None = None,
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

    The arguments are those of `run`. With workers it is yielded with the findings of each further experiment, in the
    order in which they end; the findings of a result are always in the study's order.

    Between two results nothing is shown, and whoever has them may show their own.
    """
    chosen = catalog.find(study) if isinstance(study, str) else study
    check_workers("The workers of a study", workers, optional=True)
    told = _Relay()
    if workers is not None:
        together = Together([chosen], workers, scale=scale, seed=seed, store=store, device=device)
        yield from _side_by_side(together, chosen, told, progress)
    else:
        lab = Lab(scale, seed, told, device)
        yield from _in_turn(Growing.begin(chosen, lab, store), lab, told, progress)


@dataclass
class _Relay:
    """A watcher that passes on what it is told to whoever watches at the time."""

    to: Watcher = ignore

    def __call__(self, report: Progress) -> None:
        self.to(report)


def _in_turn(growing: Growing, lab: Lab, told: "_Relay", progress: Watcher | None) -> Iterator[StudyResult]:
    """The result with each further finding: those taken over, then one experiment after the other."""
    study, start, before = growing.study, time.perf_counter(), growing.result.seconds
    taken = {finding.verdict.claim.id for finding in growing.taken}
    findings = itertools.chain(
        growing.taken, *(checked(study, study.experiments[index], lab) for index in growing.left)
    )
    while True:
        # Not around the yield: what the caller does meanwhile is no part of the study.
        with watched(progress) as told.to:
            seconds = time.perf_counter() - start
            told(Progress(study.name, len(growing.result.findings), len(study.claims), seconds))
            finding = next(findings, None)
            if finding is None:
                return
            seconds = before + time.perf_counter() - start
            result = growing.add([finding], seconds=seconds, keep=finding.verdict.claim.id not in taken)
        yield result


def _side_by_side(together: Together, study: Study, told: "_Relay", progress: Watcher | None) -> Iterator[StudyResult]:
    """The result with the findings of each further experiment, after those taken over."""
    result = together.result(study.name)
    if result.findings:
        yield result
    view = _View(study, together, told)
    with contextlib.closing(together.steps(view.heard)) as steps:
        while True:
            with watched(progress) as told.to:
                view.show()
                step = next(steps, None)
                if step is None:
                    return
                view.ended(step.number)
                if step.error is not None:
                    raise step.error
            yield step.result


class _View:
    """Experiments under way, as one progress: that of their study."""

    def __init__(self, study: Study, together: Together, told: Watcher) -> None:
        self._study, self._together, self._told = study, together, told
        self._running: dict[int, Progress] = {}
        self._start = time.perf_counter()

    def heard(self, number: int, progress: Progress) -> None:
        self._running[number] = progress
        self.show()

    def ended(self, number: int) -> None:
        self._running.pop(number, None)

    def show(self) -> None:
        under_way = "; ".join(f"{one.label} {one.done:,} of {one.total:,}" for one in self._running.values())
        label = self._study.name + (f" ({under_way})" if under_way else "")
        done, seconds = len(self._together.result(self._study.name).findings), time.perf_counter() - self._start
        self._told(Progress(label, done, len(self._study.claims), seconds))
