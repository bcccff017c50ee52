"""Corrections of what the lecture says of the tangent kernel."""

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
    Correction(
        id="ntk-sum-over-layers",
        section="NTK for Different Architectures: Fully Connected Networks",
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
        section="NTK for Different Architectures: Convolutional Networks",
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
        section="NTK for Different Architectures: Attention/Transformers",
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
            "true labels alone. How far the bound in full then is from the measured risk is in the figure."
        ),
        source="Arora et al. (2019), arXiv:1901.08584; shown beside NTK7",
    ),
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
            "NTK parameterization wide nets lose the features that a parity of two bits needs, in muP they keep them."
        ),
        source="Yang et al. (2022), arXiv:2203.03466; Lee et al. (2020), arXiv:2007.15801; measured by NTK10",
        claims=("NTK10",),
    ),
)
