"""Corrections of what the lecture says of the tangent kernel before and in training, and of convergence."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="ntk-deterministic",
        section="the infinite width limit: at initialization",
        lecture="Theta(x, x') goes to a deterministic kernel, the sum over layers of Sigma^(l) Sigma-dot^(l).",
        right=(
            "It does, as width^(-1/2) in relative distance (its variance as 1 / width), to the sum over l of "
            "Sigma^(l-1) times the product of all later Sigma-dot."
        ),
        why=(
            "The kernel is a mean over units. Of one hidden layer it is Sigma^(1) + Sigma^(0) Sigma-dot^(1): the last "
            "layer's weights give Sigma^(1) alone, and those before it what they move times Sigma-dot^(1). One factor "
            "for each term is another kernel, two fifths and more of its size away."
        ),
        source="Jacot, Gabriel & Hongler (2018), arXiv:1806.07572, theorem 1; measured by NTK2",
        claims=("NTK2",),
    ),
    Correction(
        id="ntk-drift",
        section="the infinite width limit: the width scaling; finite width effects: the feature learning regime",
        lecture="Delta Theta, and feature learning, go as 1 / sqrt(width).",
        right=(
            "The kernel drifts as 1 / width where the activation is smooth and as width^(-3/4) with ReLU; "
            "1 / sqrt(width) is the movement of a single hidden unit, and a proved bound of the drift."
        ),
        why=(
            "A unit moves by its output weight over sqrt(width). In the kernel, a mean over units, first-order changes "
            "have random signs and add up to another 1 / sqrt(width). Units that cross the kink of ReLU, a share of "
            "1 / sqrt(width), change by as much as they are: sqrt(share / width) is width^(-3/4). In a mean field, "
            "with outputs smaller by sqrt(width), the kernel moves at any width."
        ),
        source=(
            "Lee et al. (2019), arXiv:1902.06720 (the bound); Huang & Yau (2020), arXiv:1909.08156; Yang & Hu (2021), "
            "arXiv:2011.14522; measured by NTK3"
        ),
        claims=("NTK3",),
    ),
    Correction(
        id="ntk-closed-form",
        section="mathematical foundation: training dynamics in function space",
        lecture="f(x, t) = f(x, 0) + Theta(x, X)^T (I - e^(-Theta t)) Theta^(-1) (y - f(X, 0)).",
        right=(
            "That is gradient flow of 1/2 sum (f - y)^2 with a constant kernel. k steps of gradient descent at the "
            "rate eta have (1 - eta lambda)^k in the place of e^(-lambda t)."
        ),
        why=(
            "The gradient of a mean is smaller by the number of examples, and of torch's MSELoss twice that of half "
            "the mean. A finite network has a kernel of its own before training, which predicts it better than that of "
            "infinite width does; where features are learned no constant kernel does."
        ),
        source="Lee et al. (2019), arXiv:1902.06720; measured by NTK4",
        claims=("NTK4",),
    ),
    Correction(
        id="ntk-convergence",
        section="why NTK matters: Theoretical Insights",
        lecture="It predicts convergence: the rate can be computed from lambda_min(Theta).",
        right=(
            "lambda_min bounds the time from above, loosely. What predicts it is the spectrum, with the projections of "
            "the residual on the eigenvectors."
        ),
        why=(
            "The loss is the sum over modes of c_i^2 (1 - eta lambda_i)^(2 k). Real labels lie mostly along "
            "eigenvectors of large eigenvalues, so 1 % of the loss is reached while the last mode has hardly begun; "
            "its rate is that of the loss only when nothing else is left."
        ),
        source="Arora et al. (2019), arXiv:1901.08584, theorem 4.1; measured by NTK5",
        claims=("NTK5",),
    ),
)
