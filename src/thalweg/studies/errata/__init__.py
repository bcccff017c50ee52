"""Where the lecture is imprecise or wrong: what it says, what is right, why, and who says so."""

from thalweg.studies.errata import (
    bias_variance,
    connectivity,
    double_descent,
    grokking,
    implicit,
    landscape,
    ntk,
    optimizers,
    puzzle,
    schedules,
    simplicity,
    tickets,
)
from thalweg.studies.errata.correction import LECTURE, Correction

__all__ = ["CORRECTIONS", "LECTURE", "Correction"]

CORRECTIONS: tuple[Correction, ...] = (
    *optimizers.CORRECTIONS,
    *schedules.CORRECTIONS,
    *puzzle.CORRECTIONS,
    *implicit.CORRECTIONS,
    *simplicity.CORRECTIONS,
    *grokking.CORRECTIONS,
    *bias_variance.CORRECTIONS,
    *double_descent.CORRECTIONS,
    *landscape.CORRECTIONS,
    *connectivity.CORRECTIONS,
    *tickets.CORRECTIONS,
    *ntk.CORRECTIONS,
)
