"""Corrections of what the lecture says of bounds."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="complexities-are-finite",
        section="the generalisation puzzle: why classical theory fails",
        lecture="VC dimension goes to infinity for deep networks; Rademacher complexity goes to infinity.",
        right="Both are finite; bounds by them are vacuous for such a class at such a sample size.",
        why=(
            "The VC dimension of W weights in L layers of ReLU is at most of order W L log W (Bartlett et al., 2019). "
            "The Rademacher complexity of the 0-1 loss cannot be above 1/2, and is there once a class fits coin flips; "
            "what explodes are upper bounds of it by products of norms. Nor is it networks that are vacuous: with "
            "1,000 examples the VC bound of a linear classifier in 64 dimensions is 1.5, and with 50,000 that of a "
            "network of 26 parameters is far below 1."
        ),
        source=(
            "Bartlett et al. (2019), arXiv:1703.02930; Bartlett & Mendelson (2002), JMLR 3, 463-482; measured by "
            "GEN2, bounds by norms with their constants dropped too"
        ),
        claims=("GEN2",),
    ),
    Correction(
        id="not-every-bound-is-vacuous",
        section="the generalisation puzzle: why classical theory fails",
        lecture="PAC bounds are vacuous.",
        right="Uniform bounds are; bounds with a prior from half of the data, or by the length of a code, need not be.",
        why=(
            "Each is about a predictor of its own: networks drawn around the trained one, one in a random subspace on "
            "few levels, a linear classifier of one bit a weight. With a prior from half of the data the divergence is "
            "nearly 0, so that the bound is one by held-out examples in disguise, and larger than Clopper and "
            "Pearson's of the same examples, which alone is about a network that was trained and is used as it is."
        ),
        source=(
            "Dziugaite & Roy (2017), arXiv:1703.11008; Perez-Ortiz et al. (2021), arXiv:2007.12911; Lotfi et al. "
            "(2022), arXiv:2211.13609; measured by GEN3, validity on populations of known risk too"
        ),
        claims=("GEN3",),
    ),
)
