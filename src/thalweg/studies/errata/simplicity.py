"""Corrections of what the lecture says of simplicity."""

from thalweg.studies.errata.correction import Correction

SECTION = "the generalization puzzle: simplicity"
CORRECTIONS: tuple[Correction, ...] = ()
