"""The study `landscape`: what pictures of the loss show, what high dimension does, and how curved the path is."""

from thalweg.studies.landscape import batches, concentration, edge, filters, flatness, saddles, views, widths
from thalweg.studies.study import Experiment, Study

STUDY = Study(
    name="landscape",
    title="The loss landscape: views, scales, dimension and curvature",
    experiments=(
        Experiment((concentration.CLAIM,), concentration.decide),
        Experiment((filters.CLAIM,), filters.decide),
        Experiment((views.CLAIM,), views.decide),
        Experiment((edge.CLAIM,), edge.decide),
        flatness.experiment,
        batches.experiment,
        widths.experiment,
        saddles.experiment,
    ),
)
