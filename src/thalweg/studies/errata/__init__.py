"""Where the lecture is imprecise or wrong: what it says, what is right, why, and who says so."""

from thalweg.studies.errata import grokking, landscape, optimizers, schedules
from thalweg.studies.errata.correction import LECTURE, Correction

__all__ = ["CORRECTIONS", "LECTURE", "Correction"]

CORRECTIONS: tuple[Correction, ...] = (
    *optimizers.CORRECTIONS,
    *schedules.CORRECTIONS,
    *landscape.CORRECTIONS,
    *grokking.CORRECTIONS,
)
