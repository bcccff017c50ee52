"""The study `tickets`: sparse subnetworks that train alone, doubted by controls, and what they save."""

from thalweg.studies.study import Study
from thalweg.studies.tickets import counting, hardware

STUDY = Study(
    name="tickets",
    title="Lottery tickets",
    experiments=(hardware.experiment, counting.experiment),
)
