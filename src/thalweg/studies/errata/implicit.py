"""Corrections of what the lecture says of implicit regularization."""

from thalweg.studies.errata.correction import Correction

SECTION = "the generalization puzzle: implicit regularization"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="sgd-prefers-the-nearest",
        section=SECTION,
        lecture="SGD prefers theta_2, the simple one of the solutions with zero training loss.",
        right="On a linear model descent ends at theta_0 + X^+ (y - X theta_0), the solution nearest to its start.",
        why=(
            "Every gradient is X' times something, a combination of the examples. So what theta_0 has beside their "
            "span is never touched, with noise and without: from 0 the limit has the least norm of all, from "
            "elsewhere it is as far from that as the start is from the span. One example x = (1, 2) with y = 1: from "
            "(0, 0) the limit is (0.2, 0.4), from (1, 0) it is (1, 0), where the loss is 0 to begin with. Sign descent "
            "moves both coordinates by the same and ends at (1/3, 1/3)."
        ),
        source=(
            "Zhang et al. (2017), arXiv:1611.03530; Gunasekar et al. (2018), arXiv:1802.08246; Wilson et al. (2017), "
            "arXiv:1705.08292; measured by IMP1"
        ),
        claims=("IMP1",),
    ),
    Correction(
        id="noise-regularizes-in-some-settings",
        section=SECTION,
        lecture="Noise: SGD noise prevents overfitting.",
        right="At equal training loss it lowers the risk in some models and settings; in others it changes nothing.",
        why=(
            "On an interpolating linear model the limit is the same for every batch size, so noise changes nothing of "
            "it. In a diagonal linear net it shrinks the small coefficients, as a smaller start would. In theory it is "
            "rate / batch that counts: the study has full batches at twice the rate and single examples at a quarter "
            "of it beside. Where a network errs little, as on digits, no more than that little can be gained; the "
            "study states what it found there, with its interval."
        ),
        source="Woodworth et al. (2020), arXiv:2002.09277; Pesme et al. (2021), arXiv:2106.09524; measured by IMP2",
        claims=("IMP2",),
    ),
    Correction(
        id="early-stopping-needs-noise",
        section=SECTION,
        lecture="Early stopping: implicit regularization.",
        right="In linear regression it is ridge with penalty 1 / t, nearly; it gains what noise there is to leave out.",
        why=(
            "Along a direction of eigenvalue s gradient flow from 0 has found 1 - exp(-s t) at time t, and ridge "
            "s / (s + 1/t); with z = s t these are 0.632 and 0.5 at z = 1, and never further apart than by a factor "
            "of 1.30. Without noise the risk falls with t to the end, and stopping only loses. A network that is right "
            "and too sure of the few labels that it gets wrong has a high loss and a low error, so that a stop at the "
            "lowest loss need not be one at the lowest error; the study has both on clean labels."
        ),
        source="Ali, Kolter & Tibshirani (2019), arXiv:1810.10082; measured by IMP3",
        claims=("IMP3",),
    ),
    Correction(
        id="local-where-neighbors-belong-together",
        section=SECTION,
        lecture="Architecture: CNNs bias toward local features.",
        right="Which helps where neighboring inputs belong together, and else is of no use.",
        why=(
            "Put the coordinates of all examples in one random order. To a perceptron nothing has changed, as its "
            "first weights start alike for all inputs; a convolution now looks at inputs that have nothing to do with "
            "one another. Its advantage goes with the order, so it was the match of the two, and not a property of "
            "the network alone."
        ),
        source="Greydanus & Kobak (2020), arXiv:2011.14439; measured by IMP4",
        claims=("IMP4",),
    ),
    Correction(
        id="small-starts-where-features-are-learned",
        section=SECTION,
        lecture="Initialization: start near simple functions.",
        right="The smaller the start the simpler the function where features are learned; on digits a large one hurts.",
        why=(
            "From a large start the weights fit the examples by moving a small share of their length, so that the "
            "features stay random, and the parity of two of many bits is not among those that random features give "
            "from few examples. Where random features do, a smaller start need not help: on digits the study has the "
            "errors from starts below the usual one beside. And that a function is simple is to be measured."
        ),
        source="Chizat et al. (2019), arXiv:1812.07956; Woodworth et al. (2020), arXiv:2002.09277; measured by IMP5",
        claims=("IMP5",),
    ),
    Correction(
        id="the-implicit-penalty",
        section=SECTION,
        lecture="Net effect: loss = training loss + implicit complexity penalty.",
        right="To the next order in the rate steps follow the flow of E + rate/4 |gradient|^2, for a finite time.",
        why=(
            "On E = h theta^2 / 2 a step multiplies theta by 1 - rate h, and the flow of E by exp(-rate h), which is "
            "more by (rate h)^2 / 2. The penalty makes h into h + rate h^2 / 2, and what is left is of the order "
            "(rate h)^3. SGD has a second term, of the variance of its batches' gradients. It is the beginning of a "
            "series, which says little at the edge of stability, and nothing of Adam; and it is a penalty on "
            "gradients, which are not complexity."
        ),
        source="Barrett & Dherin (2021), arXiv:2009.11162; Smith et al. (2021), arXiv:2101.12176; measured by IMP6",
        claims=("IMP6",),
    ),
)
