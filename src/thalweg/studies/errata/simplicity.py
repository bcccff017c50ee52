"""Corrections of what the lecture says of simplicity."""

from thalweg.studies.errata.correction import Correction

SECTION = "what really drives generalization: the simplicity bias"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="low-frequencies-are-learned-first",
        section=SECTION,
        lecture="Networks prefer simple functions that have low frequency.",
        right="Near its start a network learns frequencies in the order of its tangent kernel's eigenvalues.",
        why=(
            "Gradient descent leaves (1 - rate lambda)^t of what is along an eigenvector, which to 90 % takes "
            "log(10) / (rate lambda) steps. On the circle the eigenvectors of a ReLU network's kernel are cos(k theta) "
            "and sin(k theta), and lambda is 1 / (pi k)^2 for odd k from 3: three times the frequency takes nine times "
            "as long. That of k = 1 and those of even k lie above this law, most so the lowest, so that over all k the "
            "power is larger than 2; without biases lambda is 0 for odd k from 3. It is about the order in which a "
            "target is learned and not about the function in the end, and it needs targets that are smooth in the "
            "inputs: with labels permuted over the points none is first."
        ),
        source=(
            "Rahaman et al. (2019), arXiv:1806.08734; Basri et al. (2019), arXiv:1906.00425; measured by SIM1, with "
            "the kernel's prediction beside"
        ),
        claims=("SIM1",),
    ),
)
