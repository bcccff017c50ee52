"""The study `ntk`: networks of infinite width, their tangent kernel, and what it predicts of finite ones."""

from thalweg.studies.ntk import addition, bias
from thalweg.studies.study import Study

STUDY = Study(
    name="ntk",
    title="The neural tangent kernel: networks of infinite width",
    experiments=(bias.experiment, addition.experiment),
)
