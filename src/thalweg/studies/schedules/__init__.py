"""The study `schedules`: what warmup, cosine decay and the inverse square root each do to a language model."""

from collections.abc import Iterator

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.schedules import cosine, inverse_square_root, warmup
from thalweg.studies.schedules.comparison import compare
from thalweg.studies.study import Study, decides


@decides(cosine.CLAIM, inverse_square_root.CLAIM)
def decays(lab: Lab) -> Iterator[Finding]:
    """SCH2 and SCH3, from the same runs."""
    comparison = compare(lab)
    yield cosine.finding(lab, comparison)
    yield inverse_square_root.finding(lab, comparison)


STUDY = Study(
    name="schedules",
    title="Learning-rate schedules: warmup and decay",
    experiments=(warmup.experiment, decays),
)
