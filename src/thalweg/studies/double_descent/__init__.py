"""The study `double-descent`: where test error peaks, what is beyond the peak, and what removes it."""

from thalweg.studies.double_descent import examples, random_features, stopping, training_time, widths
from thalweg.studies.study import Study

STUDY = Study(
    name="double-descent",
    title="Double descent: over features, width, time and data",
    experiments=(
        random_features.experiment,
        widths.experiment,
        training_time.experiment,
        examples.experiment,
        stopping.experiment,
    ),
)
