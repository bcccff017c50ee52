"""The study `optimizers`: what momentum, adaptive rates, bias correction and decoupled decay each buy."""

from thalweg.studies.optimizers import adaptive, bias_correction, decay, generalization, momentum, nesterov, sensitivity
from thalweg.studies.study import Study

_PARTS = (bias_correction, decay, sensitivity, momentum, nesterov, adaptive, generalization)  # the quick ones first


STUDY = Study(
    name="optimizers", title="Optimizers: from SGD to AdamW", experiments=tuple(part.experiment for part in _PARTS)
)
