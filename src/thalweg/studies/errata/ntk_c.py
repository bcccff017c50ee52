"""Corrections of what the lecture says of the kernels of architectures, and of what kernels cannot explain."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="ntk-inductive-bias",
        section="NTK for Different Architectures",
        lecture="CNNs = Locally connected NTK. Architecture, kernel structure, inductive bias.",
        right="The bias comes with pooling; without it the kernel is a locally connected one, and gains little.",
        why=(
            "Where positions are flattened, pairs of different positions drop out of the kernel, and with them that "
            "weights are shared. Kernel regression then does as the fully connected one does, with pixels in order and "
            "shuffled; with pooling it gains where they are in order, and loses that where they are not."
        ),
        source="Novak et al. (2019), arXiv:1810.05148; Arora et al. (2019), arXiv:1904.11955; measured by NTK7",
        claims=("NTK7",),
    ),
    Correction(
        id="ntk-grokking",
        section="why NTK matters",
        lecture="NTK can't explain all phenomena (e.g., grokking).",
        right="A fixed kernel can generalize late; the kernel of a fully connected net cannot add modulo p at all.",
        why=(
            "Linear regression with decay has a fixed kernel, and from a large start generalizes long after fitting. "
            "On one-hot pairs the kernel knows how many of two symbols agree, and predicts a sum g(a) + h(b), which of "
            "a group is nothing: it is at or below chance, where features of a + b would solve it."
        ),
        source="Levi et al. (2023), arXiv:2310.16441; Gromov (2023), arXiv:2301.02679; measured by NTK11",
        claims=("NTK11",),
    ),
    Correction(
        id="ntk-bounds",
        section="why NTK matters",
        lecture="Generalization bounds: kernel theory applies.",
        right="It applies to the kernel, and orders tasks; that a bound holds does not make it small.",
        why=(
            "The complexity of the predictor is smaller on true labels than on random ones, and falls with examples on "
            "true labels alone. At 1,000 digits the bound in full still says nothing, where few signs are wrong."
        ),
        source="Arora et al. (2019), arXiv:1901.08584; shown beside NTK7",
    ),
)
