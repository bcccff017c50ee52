"""Corrections of what the lecture says of simplicity."""

from thalweg.studies.errata.correction import Correction

SECTION = "the generalization puzzle: simplicity"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="simple-at-equal-balance",
        section=SECTION,
        lecture="Random networks prefer simple functions.",
        right="They do, also among functions with as many ones; that simple ones are more frequent does not show it.",
        why=(
            "Toss 128 coins of one bias, drawn anew for every function and mostly near 0 or 1. Functions with few ones "
            "are then frequent, and they are simple as well: probability falls with complexity, though coins know "
            "nothing of it. Among functions with one 1 all are equally probable, wherever it is. So compare functions "
            "with as many ones, and count them in other nets than those in which they were chosen for being "
            "frequent. Networks still prefer simple ones; how strongly depends on their initialization, and simple "
            "means simple in the order in which inputs are counted."
        ),
        source="Valle-Perez, Camargo & Louis (2018), arXiv:1805.08522; measured by SIM3",
        claims=("SIM3",),
    ),
)
