"""Corrections of what the lecture says of lottery tickets."""

from thalweg.studies.errata.correction import Correction

_EMERGE, _SCALE = "when do tickets emerge?", "lottery tickets at scale"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="tickets-rewinding-table",
        section=f"{_EMERGE}: the rewinding insight",
        lecture="k = 0 works up to about 90 % sparsity, k = 0.1 T up to 98 %, and with k = 0.5 T almost any.",
        right="No paper has the table; late rewinding helps where training is unstable at first.",
        why=(
            "In a convnet at a large rate tickets at 74 % match if rewound to 20 % of training and not if to step 0; "
            "at a tenth of the rate late rewinding gains nothing, at the same sparsity. Late weights under a shuffled "
            "mask are worse than the ticket: weights alone are not it."
        ),
        source="Frankle et al. (2020), arXiv:1912.05671, figures 3 and 5; measured by LTH5",
        claims=("LTH5",),
    ),
    Correction(
        id="tickets-early-bird",
        section=f"{_EMERGE}: early-bird tickets",
        lecture="The winning structure emerges very early, often within 10-20 % of training.",
        right="Early-bird tickets are masks of channels; masks of single weights emerge as the learning rate falls.",
        why=(
            "Half of a convnet's channels taken at 20 % train about as well as the final half, though only partly the "
            "same. A mask of weights taken there has about half or less of the final one's gain over a random one, and "
            "90 % of it only half-way. Random masks of sparsity p differ in 2 p (1 - p) of the places, so that above "
            "94.7 % any two are within the paper's threshold of 0.1: overlap must be corrected for chance."
        ),
        source="You et al. (2020), arXiv:1909.11957, algorithm 1; measured by LTH6",
        claims=("LTH6",),
    ),
    Correction(
        id="tickets-large-models",
        section=f"{_SCALE}: BERT and Transformers",
        lecture="The hypothesis fails for large models; reset to about 1,000 steps in, it works for BERT and GPT-2.",
        right="BERT's tickets are found at the pretrained weights, and of GPT-2 there is no reference result.",
        why=(
            "Fine-tuning begins at the pretrained weights and the masks are trained from there: nothing is reset into "
            "pretraining. Late rewinding was shown for image networks. A 2-layer transformer with warmup does not need "
            "it; large models are not tested here."
        ),
        source="Chen et al. (2020), arXiv:2007.12223, section 3; measured by LTH7 on a small model",
        claims=("LTH7",),
    ),
)
