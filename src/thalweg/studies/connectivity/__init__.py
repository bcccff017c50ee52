"""The study `connectivity`: whether solutions are joined by low loss, along lines, along curves, after relabeling."""

from thalweg.studies.connectivity import pairs, sharing
from thalweg.studies.study import Study

STUDY = Study(
    name="connectivity",
    title="Mode connectivity: paths of low loss between solutions",
    experiments=(pairs.experiment, sharing.experiment),
)
