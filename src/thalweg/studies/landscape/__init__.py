"""The study `landscape`: what pictures of the loss show, what high dimension does, and how curved the path is."""

from thalweg.studies.landscape import batches, concentration, edge, filters, flatness, saddles, views, widths
from thalweg.studies.study import Study

STUDY = Study(
    name="landscape",
    title="The loss landscape: views, scales, dimension and curvature",
    experiments=(
        concentration.experiment,
        filters.experiment,
        views.experiment,
        edge.experiment,
        flatness.experiment,
        batches.experiment,
        widths.experiment,
        saddles.experiment,
    ),
)
