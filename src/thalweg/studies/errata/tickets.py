"""Corrections of what the lecture says of lottery tickets."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="a-ticket-is-trained",
        section="mathematical formulation: key finding",
        lecture="L(f(x; m theta_0)) is about L(f(x; theta_T)): it works if initialized to original values.",
        right="L(f(x; train(m theta_0))) is: a ticket matches after training; untrained it is far from it.",
        why=(
            "m theta_0 is a random network with most of its weights set to zero. Masks under which untrained weights "
            "solve a task exist, and are another matter: they are searched for with the task, by training scores of "
            "the weights, and magnitudes of a trained network do not give them."
        ),
        source="Frankle & Carbin (2019), arXiv:1803.03635; Ramanujan et al. (2020), arXiv:1911.13299; measured by LTH1",
        claims=("LTH1",),
    ),
    Correction(
        id="how-sparse-a-ticket-can-be",
        section="why this may matter?",
        lecture="We can remove 90-95 % of parameters.",
        right="How many depends on the width of the network, the length of its training, and the task.",
        why=(
            "What is left must still fit the data: of an MLP 40-100-100-10, 20 % are 3,000 weights, and MNIST-1D has "
            "4,000 training examples. The dense network that a ticket is to match gets better with every step of "
            "training, and the more it is trained the fewer weights can be spared. A percentage is of the size one "
            "began with: the same 90 % says little of a network that is ten times too wide."
        ),
        source="measured by LTH1 at two widths and three lengths of training",
        claims=("LTH1",),
    ),
    Correction(
        id="reinitialized-is-worse-not-lost",
        section="mathematical formulation: key finding",
        lecture="L(f(x; m theta'_0)) is much larger than L(f(x; theta_T)): it fails if reinitialized.",
        right="It is worse at high sparsity and after short training, and about equal otherwise.",
        why=(
            "A fresh initialization under a ticket's mask trains, to an accuracy that depends on how many weights are "
            "left and for how long. It also does best with a larger learning rate than the ticket: at one rate for "
            "both, a part of the gap is the rate. And fresh magnitudes with the signs of the original weights come "
            "closer: of what the initialization is worth, a part is its signs."
        ),
        source="Liu et al. (2019), arXiv:1810.05270; Zhou et al. (2019), arXiv:1905.01067; measured by LTH2",
        claims=("LTH2",),
    ),
    Correction(
        id="most-subnetworks-are-no-failures",
        section="the initialization lottery",
        lecture="Most subnetworks are bad, but some are golden.",
        right="Random subnetworks train too, only less well; what tells the good ones apart is mostly their inputs.",
        why=(
            "A mask shuffled within each layer keeps as many weights in each, and trains to far above chance. To "
            "shuffle the first layer alone loses most of the difference: what the mask of a ticket holds is largely "
            "which inputs a unit sees together, and that is found by training, on the data; no draw of an "
            "initialization holds it as a ticket holds its number."
        ),
        source="measured by LTH3",
        claims=("LTH3",),
    ),
    Correction(
        id="percentile-with-ties",
        section="pruning strategies: magnitude pruning",
        lecture="m_i = 1 if |theta_i| >= tau_p, the p-th percentile.",
        right="Keep exactly k weights by order of magnitude, ties in the order of their places.",
        why=(
            "Pruned weights are all exactly 0. If a percentile counts them too, as in the second round of pruning 20 % "
            "of all, tau_p is 0, and |theta_i| >= 0 keeps everything."
        ),
        source="counted by hand; the masks of LTH1 to LTH4 keep exact numbers",
        claims=("LTH1", "LTH4"),
    ),
    Correction(
        id="rounds-at-high-sparsity-only",
        section="pruning strategies: iterative magnitude pruning",
        lecture="Iterative pruning: for every round train, prune 20 %, reset; better for high sparsity.",
        right="It is, and only there; it costs a training for each round, and its cost is not what helps.",
        why=(
            "20 % of what remains, ten times over, leaves 0.8^10 = 10.7 %: ten trainings before the ticket's own. At "
            "low sparsity one cut of one dense run gives masks as good. A dense run that takes as many steps as all "
            "rounds together gives worse masks than they do."
        ),
        source="Frankle & Carbin (2019), arXiv:1803.03635; measured by LTH4",
        claims=("LTH4",),
    ),
    Correction(
        id="transfer-to-the-same-structure",
        section="practical impact",
        lecture="Tickets found on one task work for others; they generalize across tasks.",
        right="They do for other data of the same kind; where inputs are structured otherwise, less and less.",
        why=(
            "What a mask of the first layer holds is which inputs go together. A fresh draw of the same signals has "
            "the same neighbors, and signals that are read backwards have some; with positions permuted they are "
            "others, and a mask then keeps less than half of its advantage over a random one. Off its own task a "
            "ticket that is better than its shuffled mask can still be worse than the dense network, which both are to "
            "be compared with."
        ),
        source="Morcos et al. (2019), arXiv:1906.02773, who find it among natural images; measured by LTH9",
        claims=("LTH9",),
    ),
    Correction(
        id="tickets-rewinding-table",
        section="when do tickets emerge? the rewinding insight",
        lecture="k = 0 works up to about 90 % sparsity, k = 0.1 T up to 98 %, and with k = 0.5 T almost any.",
        right="No paper has the table; late rewinding helps where training is unstable at first.",
        why=(
            "In a convnet at a large rate tickets at 74 % match if rewound to 20 % of training and are worse than the "
            "dense network if to step 0; rewound to 5 % they are worse than to 20 %. At a tenth of the rate late "
            "rewinding gains nothing, at the same sparsity. Late weights under a shuffled mask are worse than the "
            "ticket: weights alone are not it. The table's 98 %, and k = 0.5 T, were not trained here."
        ),
        source="Frankle et al. (2020), arXiv:1912.05671, figures 3 and 5; measured by LTH5",
        claims=("LTH5",),
    ),
    Correction(
        id="tickets-early-bird",
        section="when do tickets emerge? early-bird tickets",
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
        section="lottery tickets at scale: BERT and Transformers",
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
    Correction(
        id="tickets-hardware",
        section="practical impact",
        lecture="Structured pruning is hardware-friendly, unstructured is hard to accelerate; 10x inference at 90 %.",
        right="A mask saves nothing; units that are cut out do, and so do weights in a sparse format, at a price.",
        why=(
            "A product with zeros takes as long as any other. Cutting out 75 % of the units of wide layers leaves a "
            "sixteenth of the products. CSR with indices of 32 bits, on the left, is faster than dense without 90 % of "
            "the weights, and by more without 98 %; how much is measured by the study. With b bits a value, b d + H(d) "
            "bits a weight at density d is the least for a file: 8.7 times less than dense at d = 0.1 and 32 bits."
        ),
        source="pytorch/pytorch#56959 (indices of 32 bits); pytorch/tutorials#905; measured by LTH8",
        claims=("LTH8",),
    ),
    Correction(
        id="tickets-combinatorics",
        section="why do lottery tickets exist? the combinatorial argument",
        lecture="C(10^6, 10^5) = n^k / k! = 10^250,000 subnetworks, so that even with p = 10^-100 there are winners.",
        right="It is 10^141,178.9, and the argument shows nothing: subnetworks are not independent draws.",
        why=(
            "n^k / k! is near only for k far below sqrt(n); here it is 10^143,427. Two random subnetworks of a tenth "
            "share a tenth of their weights, and p is not known. With independence anything is certain that has a "
            "probability above 10^-141,179. Theorems on strong tickets need a width and a target network instead."
        ),
        source="Malach et al. (2020), arXiv:2002.00585; Pensia et al. (2020), arXiv:2006.07990; computed by LTH10",
        claims=("LTH10",),
    ),
)
