"""Corrections of what the lecture says of the kernels of three architectures."""

from thalweg.studies.errata.correction import Correction

_SECTION = "NTK for Different Architectures"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="ntk-sum-over-layers",
        section=f"{_SECTION}: Fully Connected Networks",
        lecture="Theta_FC(x, x') = sum_l Sigma_l(x, x') Sigma-dot_l(x, x').",
        right="Theta_FC = sum_l Sigma_l Sigma-dot_(l+1) ... Sigma-dot_L: every term has all later factors, the last "
        "none.",
        why=(
            "The gradient of layer l passes every later nonlinearity, each of which multiplies by Sigma-dot, so "
            "Theta_l = Sigma_l + Theta_(l-1) Sigma-dot_l. At x = x' of norm sqrt(d), with L hidden ReLU layers of "
            "sigma_w^2 = 2, an output layer of sigma_w = 1 and no biases, that is L + 1; the lecture's sum is "
            "2 L + 1/2."
        ),
        source="Jacot et al. (2018), arXiv:1806.07572, theorem 1; Arora et al. (2019), arXiv:1904.11955, section 3; "
        "measured by NTK6",
        claims=("NTK6", "NTK2"),
    ),
    Correction(
        id="ntk-patches",
        section=f"{_SECTION}: Convolutional Networks",
        lecture="Theta_CNN(x, x') = sum over patches of Theta_FC(patch(x), patch(x')); CNNs = locally connected NTK.",
        right="Kernels of pairs of positions, averaged over the window in every layer; pooling sums over all pairs.",
        why=(
            "It is exact for one hidden layer without pooling. Without pooling shared and unshared weights have one "
            "kernel, at any depth. With pooling the patches of x at p and of x' at p' meet for all p, p', which a sum "
            "over p = p' leaves out, and it is these that make the kernel blind to shifts."
        ),
        source="Arora et al. (2019), arXiv:1904.11955, section 4; Novak et al. (2019), arXiv:1810.05148; measured by "
        "NTK6",
        claims=("NTK6",),
    ),
    Correction(
        id="ntk-attention",
        section=f"{_SECTION}: Attention/Transformers",
        lecture="Theta_Attn(x, x') = sum_ij alpha_ij(x) alpha_ij(x') Theta_base(x_i, x'_j).",
        right="Theta_Attn between tokens a and b = sum_ij alpha_ai(x) alpha_bj(x') (Theta_ij + 2 K_ij), for scores "
        "q . k / d.",
        why=(
            "In alpha_ij(x) alpha_ij(x') the tokens i, j of both inputs are the same, and in Theta_base i is one of x "
            "and j one of x'. Values and output weights are trained as well, and give one K each: with one layer "
            "below, where Theta = K, two thirds are missing. With q . k / sqrt(d) weights fluctuate at any width, "
            "products of theirs become means, and the gradients of queries and keys add terms."
        ),
        source="Hron et al. (2020), arXiv:2006.10540, section 3; measured by NTK6",
        claims=("NTK6",),
    ),
)
