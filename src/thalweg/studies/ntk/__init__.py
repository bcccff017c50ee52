"""The study `ntk`: networks of infinite width, their tangent kernel, and what it predicts of finite ones."""

from thalweg.studies.ntk import (
    addition,
    architectures,
    bias,
    conditioning,
    convergence,
    features,
    gaussian,
    sweet_spot,
    widths,
)
from thalweg.studies.study import Study

STUDY = Study(
    name="ntk",
    title="The neural tangent kernel: networks of infinite width",
    experiments=(
        gaussian.experiment,
        widths.experiment,
        convergence.experiment,
        architectures.experiment,
        bias.experiment,
        features.experiment,
        conditioning.experiment,
        sweet_spot.experiment,
        addition.experiment,
    ),
)
