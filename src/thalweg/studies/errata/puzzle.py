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
    Correction(
        id="regularization-and-labels",
        section="what really drives generalization: the modern view",
        lecture="L2, dropout help but aren't necessary; unregularized networks still generalize.",
        right="On true labels; of labels that are partly random the unregularized network memorizes what is wrong.",
        why=(
            "How much regularization can add is bounded by what the plain network lacks: at 96 % accuracy of ten "
            "classes no more than 4/86 of what it has above chance, so that digits cannot show that it is necessary. "
            "With 40 % random labels the plain network fits those too, and its test accuracy falls far below that."
        ),
        source="Zhang et al. (2016), arXiv:1611.03530, sections 3 and 4; measured by GEN4, with random labels beside",
        claims=("GEN4",),
    ),
)
