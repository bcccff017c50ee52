"""The study `schedules`: what warmup, cosine decay and the inverse square root each do to a language model."""

from collections.abc import Iterator

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.schedules import cosine, inverse_square_root, warmup
from thalweg.studies.schedules.language import compare
from thalweg.studies.study import Experiment, Study


def _decays(lab: Lab) -> Iterator[Finding]:
    """The findings on SCH2 and SCH3, which share their runs."""
    comparison = compare(lab)
    yield cosine.decide(lab, comparison)
    yield inverse_square_root.decide(lab, comparison)


STUDY = Study(
    name="schedules",
    title="Learning-rate schedules: warmup and decay",
    experiments=(
        Experiment((warmup.CLAIM,), warmup.decide),
        Experiment((cosine.CLAIM, inverse_square_root.CLAIM), _decays),
    ),
)
