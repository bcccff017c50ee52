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
            "power is larger than 2; in theory lambda is 0 for odd k from 3 without biases. It is about the order in "
            "which a target is learned and not about the function in the end, and it needs targets that are smooth in "
            "the inputs: with labels permuted over the points none is first by the kernel's prediction."
        ),
        source=(
            "Rahaman et al. (2019), arXiv:1806.08734; Basri et al. (2019), arXiv:1906.00425; measured by SIM1, with "
            "the kernel's prediction beside"
        ),
        claims=("SIM1",),
    ),
    Correction(
        id="the-linear-part-first",
        section=SECTION,
        lecture="Networks are lazy and want to compute as little as possible.",
        right="They learn the part first that a linear model could know, as descent on any smooth kernel does.",
        why=(
            "That a network agrees more and more with a linear model is so of everything that improves; to be compared "
            "with is a network that is as accurate by chance. Nor is it about wanting: a smooth kernel has its large "
            "eigenvalues along what varies slowly, constants and linear functions before all, and descent learns along "
            "these first, so that the order is one of the data and the kernel. If all eigenvalues are equal, as of a "
            "kernel narrower than the distances of the data, both parts are halved at the same time. In the end "
            "networks need not be simple: on random labels they memorize."
        ),
        source="Kalimeris et al. (2019), arXiv:1905.11604; measured by SIM2, with both kernels beside",
        claims=("SIM2",),
    ),
    Correction(
        id="broad-splits-first",
        section=SECTION,
        lecture="Networks prefer simple functions that decompose hierarchically.",
        right="Where the data are on a tree, deep linear networks learn broad splits before fine ones.",
        why=(
            "A mode of singular value s of the data grows as s / (1 + (s / a - 1) exp(-2 s t)) from its start a, and "
            "is half there at t = ln(s / a - 1) / (2 s). On a tree the singular values fall with the level of the "
            "split, so that broad ones come first; shuffle every feature over the items, and all splits have nearly "
            "the same value and come together. The hierarchy is that of the data."
        ),
        source="Saxe, McClelland & Ganguli (2019), arXiv:1810.10531; shown beside SIM2",
        claims=("SIM2",),
    ),
    Correction(
        id="simple-at-equal-balance",
        section=SECTION,
        lecture="Networks prefer simple functions.",
        right="Random ones do, among functions with as many ones too; that simple ones are frequent does not show it.",
        why=(
            "Toss 128 coins of one bias, drawn anew for every function and mostly near 0 or 1. Functions with few ones "
            "are then frequent, and they are simple as well: probability falls with complexity, though coins know "
            "nothing of it. Among functions with one 1 all are equally probable, wherever it is. So compare functions "
            "with as many ones, and count them in other nets than those in which they were chosen for being "
            "frequent. Networks still prefer simple ones; how strongly depends on their initialization, and simple "
            "means simple in the order in which inputs are counted."
        ),
        source="Valle-Perez, Camargo & Louis (2018), arXiv:1805.08522; measured by SIM3",
        claims=("SIM3",),
    ),
    Correction(
        id="smooth-of-functions-that-fit-equally",
        section=SECTION,
        lecture="Networks prefer simple functions that vary smoothly.",
        right="Those found are smoother than ones that fit as well from a bad start; they need not be the smoothest.",
        why=(
            "A network that fits true labels has a smaller input Jacobian than one that fits random labels. But no "
            "smooth function fits random labels, so that this compares tasks and would be so whatever training "
            "prefers. Hold the labels and the loss, and change the start: from weights that had memorized random "
            "labels training ends at rougher functions, so there was a choice. Starts 4 and 8 times the usual one, and "
            "MNIST-1D, where networks err much, are measured beside the claim. The Jacobian grows with the logits: "
            "compare at equal loss, or per margin."
        ),
        source=(
            "Novak et al. (2018), arXiv:1802.08760; Liu, Papailiopoulos & Achlioptas (2020), arXiv:1906.02613 (bad "
            "global minima); measured by SIM4"
        ),
        claims=("SIM4",),
    ),
    Correction(
        id="symmetries-of-the-architecture",
        section=SECTION,
        lecture="Networks prefer simple functions that match data symmetries.",
        right="They have the symmetries of the architecture, which helps where the data have them and hurts elsewhere.",
        why=(
            "The mean over places of circular convolutions is the same for a signal and its shifts, whatever the "
            "weights and the data. So such a network cannot learn a label that says where a pulse is, which a "
            "perceptron learns easily. Convolutions alone are equivariant: a shift of the input shifts what they "
            "give, and a linear layer behind them that sees every place is not invariant."
        ),
        source="Cohen & Welling (2016), arXiv:1602.07576; measured by SIM5",
        claims=("SIM5",),
    ),
)
