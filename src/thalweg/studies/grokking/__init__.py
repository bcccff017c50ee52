"""The study `grokking`: when networks generalize long after fitting, what they compute then, and what drives it."""

from thalweg.studies.grokking import decay, tables
from thalweg.studies.study import Study

STUDY = Study(
    name="grokking",
    title="Grokking: generalization long after fitting",
    experiments=(tables.experiment, decay.experiment),
)
