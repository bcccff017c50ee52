"""Corrections of what the lecture says of lottery tickets."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="a-ticket-is-trained",
        section="mathematical formulation: key finding",
        lecture="L(f(x; m theta_0)) is about L(f(x; theta_T)): it works if initialized to original values.",
        right="L(f(x; train(m theta_0))) is: a ticket matches after training; untrained it is not much above chance.",
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
            "rounds together gives worse ones: it ends farther from where the ticket starts."
        ),
        source="Frankle & Carbin (2019), arXiv:1803.03635; measured by LTH4",
        claims=("LTH4",),
    ),
    Correction(
        id="transfer-to-the-same-structure",
        section="the Lottery Ticket Hypothesis 2.0: practical impact",
        lecture="Tickets found on one task work for others; they generalize across tasks.",
        right="They do for other data of the same kind; where inputs are structured otherwise, less and less.",
        why=(
            "What a mask of the first layer holds is which inputs go together. A fresh draw of the same signals has "
            "the same neighbors, and signals that are read backwards have some; with positions permuted they are "
            "others, and a mask is then worth little more than a random one. Off its own task a ticket that is better "
            "than its shuffled mask can still be worse than the dense network, which both are to be compared with."
        ),
        source="Morcos et al. (2019), arXiv:1906.02773, who find it among natural images; measured by LTH9",
        claims=("LTH9",),
    ),
)
