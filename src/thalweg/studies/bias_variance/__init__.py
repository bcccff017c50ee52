"""The study `bias-variance`: what the error of many fits is made of, and what averaging them removes."""

from thalweg.studies.bias_variance import identity, noise, tradeoff
from thalweg.studies.study import Study

STUDY = Study(
    name="bias-variance",
    title="Bias, variance and noise",
    experiments=(identity.experiment, tradeoff.experiment, noise.experiment),
)
