"""The study `optimizers`: what momentum, adaptive rates, bias correction and decoupled decay each buy."""

from collections.abc import Iterator

from thalweg.studies.optimizers import (
    adaptive,
    bias_correction,
    decay,
    generalization,
    momentum,
    nesterov,
    sensitivity,
)
from thalweg.studies.study import Context, Finding, Study

_PARTS = (bias_correction, decay, sensitivity, momentum, nesterov, adaptive, generalization)  # the quick ones first


def _run(context: Context) -> Iterator[Finding]:
    for part in _PARTS:
        yield from part.decide(context)


STUDY = Study(
    name="optimizers",
    title="Optimizers: from SGD to AdamW",
    claims=tuple(part.CLAIM for part in _PARTS),
    run=_run,
)
