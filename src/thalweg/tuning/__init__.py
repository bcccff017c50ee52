"""Learning rates as something to measure, and rules compared at equal expense."""

from thalweg.tuning.compare import compare
from thalweg.tuning.comparison import Comparison
from thalweg.tuning.edges import edge_warnings, on_edge
from thalweg.tuning.effective_rates import effective_rates
from thalweg.tuning.largest_rate import LargestRate, largest_rate
from thalweg.tuning.modes import Modes, modes
from thalweg.tuning.profiles import performance_profile, profile_score
from thalweg.tuning.race import COURSES, Course, Race, race
from thalweg.tuning.range_test import classic_range_test, range_test
from thalweg.tuning.search import Range, grid, halton, stack_trials
from thalweg.tuning.sensitivity import rate_sensitivity, sensitivity, sensitivity_figure
from thalweg.tuning.speedup import Speedup, speedup

__all__ = [
    "COURSES",
    "Comparison",
    "Course",
    "LargestRate",
    "Modes",
    "Race",
    "Range",
    "Speedup",
    "classic_range_test",
    "compare",
    "edge_warnings",
    "effective_rates",
    "grid",
    "halton",
    "largest_rate",
    "modes",
    "on_edge",
    "performance_profile",
    "profile_score",
    "race",
    "range_test",
    "rate_sensitivity",
    "sensitivity",
    "sensitivity_figure",
    "speedup",
    "stack_trials",
]
