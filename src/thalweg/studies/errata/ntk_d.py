"""Corrections of what the lecture says of features, of the condition number, and of the best width."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="ntk-features",
        section="Neural Tangent learning: finite width effects",
        lecture="Finite networks learn features and generalize better; real networks learn features (good thing!).",
        right="They may: where the target has features to learn, and the parameterization lets them move.",
        why=(
            "The parity of two of twenty bits is a quadratic form among 190, on which a kernel that does not know the "
            "two bits spends its examples; a net in muP finds them. On digits there is nothing of that kind to gain, "
            "and a wide net in NTK parameterization is its kernel on both."
        ),
        source=(
            "Ghorbani et al. (2020), arXiv:2006.13409; Yang & Hu (2021), arXiv:2011.14522; Chizat, Oyallon & Bach "
            "(2019), arXiv:1812.07956; measured by NTK8"
        ),
        claims=("NTK8",),
    ),
    Correction(
        id="ntk-condition",
        section="why NTK matters: architecture search via NTK; understanding scale",
        lecture="A good condition number means a trainable architecture, and tells when a network is wide enough.",
        right=(
            "It orders architectures by the steps of gradient descent at the rate 1 / lambda_max. It tells neither "
            "when a width is enough nor how well the net generalizes."
        ),
        why=(
            "With growing width the condition number comes within a few percent of its limit while the distance of "
            "training from its linearization still falls as 1 / width. And an orthogonal kernel, that of a deep "
            "chaotic net, has condition number 1 and says nothing of inputs that it has not seen."
        ),
        source=(
            "Xiao, Pennington & Schoenholz (2020), arXiv:1912.13053; Chen, Gong & Wang (2021), arXiv:2102.11535; "
            "measured by NTK9"
        ),
        claims=("NTK9",),
    ),
    Correction(
        id="ntk-sweet-spot",
        section="finite width effects: the transition; optimal width",
        lecture="Below 100 units nets are hard to train, near 1,000 is the sweet spot, infinite ones have no features.",
        right=(
            "Narrow nets take more steps. Where the optimum lies is a matter of the recipe and the target, not of a "
            "width: at a rate that follows the width digits have none, and at a fixed rate wide nets are worse."
        ),
        why=(
            "In torch's parameterization the kernel grows in proportion to the width, so one rate is right for one "
            "width: a step of Adam moves every weight by about the rate, and outputs by the rate times the width. In "
            "NTK parameterization parity of two bits has its best width at 8 to 32 units, in muP it has none."
        ),
        source="Yang et al. (2022), arXiv:2203.03466; Lee et al. (2020), arXiv:2007.15801; measured by NTK10",
        claims=("NTK10",),
    ),
)
