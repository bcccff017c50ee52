"""The study `puzzle`: networks that can memorize generalize, what bounds say of it, and what regularization adds."""

from thalweg.studies.puzzle import fitting, regularization
from thalweg.studies.study import Study

STUDY = Study(
    name="puzzle",
    title="The puzzle of generalization: what is memorized, what bounds say, what regularization adds",
    experiments=(fitting.experiment, regularization.experiment),
)
