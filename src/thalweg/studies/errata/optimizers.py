"""Corrections of what the lecture says of optimizers."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="nesterov-look-ahead",
        section="Optimisers: Nesterov accelerated momentum",
        lecture="The gradient is taken at w - eta m, with m an average: m' = beta m + (1 - beta) g.",
        right="Nesterov's method takes it at w - eta beta m: only the part of the step that is already decided.",
        why=(
            "The next step is eta m' = eta beta m + eta (1 - beta) g, and the part known before g is eta beta m. "
            "Looking the full eta m ahead goes 1/beta too far and is another method: on a quadratic of curvature h it "
            "is stable up to a = eta (1 - beta) h = 2 (1 + beta)/3, which is 1.267 at beta = 0.9, and Nesterov's up "
            "to 2 (1 + beta)/(1 + 2 beta) = 1.357."
        ),
        source="Sutskever, Martens, Dahl & Hinton (2013), On the importance of initialization and momentum, eq. 3-4",
        claims=("OPT3",),
    ),
    Correction(
        id="nesterov-batch-sum",
        section="Optimisers: Nesterov accelerated momentum",
        lecture="The gradient is a sum over the examples of the batch (the index set stands beside the sum sign).",
        right="It is the mean over the batch: (1/|B|) sum over i in B.",
        why=(
            "With a sum the step grows with the batch size: a learning rate tuned at batch 32 makes steps about 16 "
            "times as large at batch 512, and may diverge there. Rates quoted for libraries refer to the mean."
        ),
        source="Goyal et al. (2017), arXiv:1706.02677, section 2.1 and remark 3",
    ),
    Correction(
        id="momentum-two-forms",
        section="Optimisers: Momentum (1964)",
        lecture="Heavy-ball momentum adds gradients, v = beta v + g; Nesterov momentum averages them.",
        right="Both forms are in use, and a rate moves between them by eta_sum = (1 - beta) eta_average.",
        why=(
            "A constant gradient makes v settle at g/(1 - beta) in the first form and at g in the second: ten times "
            "apart at beta = 0.9. Comparing heavy ball with Nesterov at one number for the rate, as the two formulas "
            "invite, compares a tenth of the step."
        ),
        source="the same algebra in torch.optim.SGD (sum) and Kingma & Ba (2015), arXiv:1412.6980 (average)",
        claims=("OPT2", "OPT3"),
    ),
    Correction(
        id="rmsprop-epsilon",
        section="Optimisers: RMSprop (2012)",
        lecture="The gradient is divided by sqrt(s).",
        right="It is divided by sqrt(s) + epsilon (torch) or sqrt(s + epsilon) (TensorFlow, optax's default).",
        why=(
            "Where a parameter has had no gradient s is 0 and so is g: the step would be 0/0. The two places of "
            "epsilon are not interchangeable: inside the root, epsilon = 1e-8 bounds the denominator by 1e-4."
        ),
        source="documentation of torch.optim.RMSprop and optax.scale_by_rms (eps_in_sqrt)",
    ),
    Correction(
        id="adam-hats",
        section="Optimisers: Adam (2014)",
        lecture="m-hat and v-hat are used without a definition, and nothing is added to the root.",
        right="m-hat = m/(1 - beta1^t), v-hat = v/(1 - beta2^t), and the denominator is sqrt(v-hat) + epsilon.",
        why=(
            "Both averages start at 0, so after t steps they hold only a share 1 - beta^t of the gradient. With the "
            "correction the first step is lr |g|/(|g| + epsilon): the learning rate, to a share epsilon/|g|, only "
            "where |g| >> epsilon, and half of it at |g| = epsilon. Without, it is (1 - beta1)/sqrt(1 - beta2) = 3.16 "
            "times as long where |g| sqrt(1 - beta2) >> epsilon too."
        ),
        source="Kingma & Ba (2015), arXiv:1412.6980, algorithm 1 and section 3",
        claims=("OPT5",),
    ),
    Correction(
        id="second-moment-not-variance",
        section="Optimisers: Adam (2014); Why Adam Works",
        lecture="Adam takes the variance into account: high variance, lower rate.",
        right="v is the uncentered second moment E[g^2] = variance + mean^2: a large second moment, a lower rate.",
        why=(
            "A gradient that is always 10 has variance 0 and yet divides the rate by 10. What the ratio m/sqrt(v) "
            "then cancels is the gradient's size, whatever its cause."
        ),
        source="Kingma & Ba (2015), arXiv:1412.6980, abstract and section 2; Balles & Hennig (2018), arXiv:1705.07774",
        claims=("OPT4",),
    ),
    Correction(
        id="decoupled-label",
        section="AdamW - the important fix",
        lecture="theta - alpha (gradient + lambda theta) is called decoupled weight decay, and is what is wanted.",
        right="That is coupled L2: lambda theta is part of the gradient. Decoupled decay never enters m and v.",
        why=(
            "For plain SGD the two are the same up to the naming of lambda, which is why the formula looks right. In "
            "Adam, lambda theta in the gradient is divided by sqrt(v-hat) with the rest, so where gradients exceed "
            "lambda |theta| a parameter decays in inverse proportion to their scale; AdamW removes that coupling."
        ),
        source="Loshchilov & Hutter (2019), arXiv:1711.05101, section 2",
        claims=("OPT6", "OPT7"),
    ),
    Correction(
        id="adamw-rate",
        section="AdamW - the important fix",
        lecture="AdamW subtracts lambda theta, whatever the learning rate.",
        right=(
            "The paper subtracts s_t lambda theta, s_t in [0, 1] being the schedule; libraries subtract "
            "alpha_t lambda theta. So lambda_paper = alpha lambda_library, at the base rate alpha."
        ),
        why=(
            "Taken literally, lambda = 0.01 halves the weights in 69 steps; in torch, at rate 1e-3, the same number "
            "takes 69,315. A decay copied from one convention to the other is a thousand times off."
        ),
        source="Loshchilov & Hutter (2019), arXiv:1711.05101, algorithm 2; torch.optim.AdamW; optax.adamw",
        claims=("OPT6", "OPT7"),
    ),
    Correction(
        id="decay-before-or-after",
        section="AdamW - the important fix",
        lecture="Weight decay is applied after the Adam update.",
        right="It multiplies the weights as they were before the step: theta (1 - alpha lambda) - step.",
        why=(
            "The formula in the lecture does so as well, since theta on its right is the old one. Decaying the new "
            "theta would also shrink the step, by the factor 1 - alpha lambda: little, but not the same bits."
        ),
        source="Loshchilov & Hutter (2019), arXiv:1711.05101, algorithm 2; torch.optim.AdamW",
    ),
    Correction(
        id="transformers-always-adamw",
        section="AdamW - the important fix",
        lecture="Transformers always use AdamW.",
        right="Most do. T5 and PaLM were trained with Adafactor, and some recent language models with Muon.",
        why="One counter-example is enough for an 'always'.",
        source="Raffel et al. (2020), arXiv:1910.10683; Chowdhery et al. (2022), arXiv:2204.02311; Liu et al. (2025), "
        "arXiv:2502.16982",
    ),
)
