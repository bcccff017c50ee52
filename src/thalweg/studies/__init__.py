"""Studies: the experiments that decide the lecture's claims."""

from thalweg.studies.catalog import find, studies
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.runner import iterate, run
from thalweg.studies.study import Experiment, Study, decides

__all__ = ["Experiment", "Lab", "Seeds", "Study", "decides", "find", "iterate", "run", "studies"]
