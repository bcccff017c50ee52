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
            "How much regularization can add is bounded by what the plain network lacks: a network that is right on, "
            "say, 96 % of ten classes can gain no more than 4/86 of what it has above chance, so that data as easy as "
            "digits cannot show that it is necessary. Where 40 % of their labels are random the plain network fits "
            "those too, and decay or dropout gains more than a tenth."
        ),
        source="Zhang et al. (2016), arXiv:1611.03530, sections 3 and 4; measured by GEN4, with random labels beside",
        claims=("GEN4",),
    ),
    Correction(
        id="complexities-are-finite",
        section="the generalisation puzzle: why classical theory fails",
        lecture="VC dimension goes to infinity for deep networks; Rademacher complexity goes to infinity.",
        right="Both are finite; bounds by them are vacuous for such a class at such a sample size.",
        why=(
            "The VC dimension of W weights in L layers of ReLU is at most of order W L log W (Bartlett et al., 2019). "
            "The Rademacher complexity of the 0-1 loss cannot be above 1/2, and is there once a class fits coin flips; "
            "what explodes are upper bounds of it by products of norms. Nor is it networks that are vacuous: with "
            "1,000 examples the VC bound of a linear classifier in 64 dimensions is 1.5, too. It is a class, a sample "
            "size and a bound: of 26 parameters in a network of ReLU and 50,000 examples of two classes a VC bound is "
            "still above 0.6, and one by a cover of the parameters is below 0.5."
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
            "few levels, a linear classifier of one bit a weight. With a prior from half of the data and no divergence "
            "the bound is one by held-out examples in disguise, and not smaller than Clopper and Pearson's of the same "
            "examples, which alone is about a network that was trained and is used as it is."
        ),
        source=(
            "Dziugaite & Roy (2017), arXiv:1703.11008; Perez-Ortiz et al. (2021), arXiv:2007.12911; Lotfi et al. "
            "(2022), arXiv:2211.13609; measured by GEN3, inequalities tried on linear rules of known risk"
        ),
        claims=("GEN3",),
    ),
)
