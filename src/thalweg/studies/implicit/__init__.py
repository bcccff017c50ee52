"""The study `implicit`: which of the solutions that fit equally well training ends at, and what chooses it."""

from thalweg.studies.implicit import locality, minimum_norm, noise, penalty, scale, stopping
from thalweg.studies.study import Study

STUDY = Study(
    name="implicit",
    title="Implicit regularization: what training prefers without being told to",
    experiments=(
        minimum_norm.experiment,
        noise.experiment,
        stopping.experiment,
        locality.experiment,
        scale.experiment,
        penalty.experiment,
    ),
)
