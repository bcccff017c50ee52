"""Corrections of what the lecture says of the puzzle of generalization."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="memorizing-language-models",
        section="the generalisation puzzle: the mystery",
        lecture="Models with 100B+ parameters train on only millions of examples and memorize them perfectly.",
        right="Networks fit random labels with the recipe that generalizes on true ones; language models do not.",
        why=(
            "A language model of 100 billion parameters sees 1e12 to 1e13 tokens, more than it has parameters, most of "
            "them once, and its training loss stays far above 0: it does not interpolate. What is a puzzle is that one "
            "network with one recipe fits labels of which nothing can be learned, so that no property of the "
            "class and the sample size alone tells both cases apart. Nearest neighbors do the same."
        ),
        source="Zhang et al. (2016), arXiv:1611.03530; Hoffmann et al. (2022), arXiv:2203.15556; measured by GEN1",
        claims=("GEN1",),
    ),
)
