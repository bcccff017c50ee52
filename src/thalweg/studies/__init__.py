"""Studies: the experiments that decide the lecture's claims."""

from thalweg.studies.catalog import find, studies
from thalweg.studies.lab import Lab
from thalweg.studies.runner import iterate, run
from thalweg.studies.study import Experiment, Study

__all__ = ["Experiment", "Lab", "Study", "find", "iterate", "run", "studies"]
