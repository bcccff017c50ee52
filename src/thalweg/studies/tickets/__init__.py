"""The study `tickets`: sparse subnetworks that train alone, the controls that make one a ticket, what they are for."""

from thalweg.studies.study import Study
from thalweg.studies.tickets import convnet, counting, emergence, hardware, perceptron, transformer

STUDY = Study(
    name="tickets",
    title="Lottery tickets: sparse subnetworks that train alone",
    experiments=(
        perceptron.experiment,
        convnet.experiment,
        emergence.experiment,
        transformer.experiment,
        hardware.experiment,
        counting.experiment,
    ),
)
