"""The study `simplicity`: which of many functions training and networks prefer, and where "simple" is the word."""

from thalweg.studies.simplicity import circle, functions, linear, smoothness, symmetries
from thalweg.studies.study import Study

STUDY = Study(
    name="simplicity",
    title="Simplicity: what is learned first, and which functions networks prefer",
    experiments=(
        circle.experiment,
        linear.experiment,
        functions.experiment,
        smoothness.experiment,
        symmetries.experiment,
    ),
)
