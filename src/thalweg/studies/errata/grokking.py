"""Corrections of what the lecture says of grokking."""

from thalweg.studies.errata.correction import Correction

_SECTION = "grokking - delayed generalization"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="grokking-chance",
        section=_SECTION,
        lecture="Train = 100 %, test = 50 % for 5,000 epochs, and 99 % one epoch later.",
        right="Before, test accuracy is at or below chance, 1/p modulo p; the rise is sudden on a log axis only.",
        why=(
            "50 % is the chance of two classes; of p = 97 it is 1 %. Networks that memorize part of a table are right "
            "on fewer of the other pairs than that. The rise from 10 to 90 % takes about as many steps as the plateau."
        ),
        source="Power et al. (2022), arXiv:2201.02177, figure 1; measured by GRK1",
        claims=("GRK1",),
    ),
    Correction(
        id="grokking-phases",
        section=_SECTION,
        lecture="It memorizes, then simplifies, then the simple pattern generalizes.",
        right="The pattern that generalizes forms beside memorization; what follows is a cleanup of the rest.",
        why=(
            "Reduced to one frequency a neuron, networks are right on most held-out pairs at the step at which they "
            "have memorized and are right on none. The norm of the weights grows through the jump, so it is no sign of "
            "simplification."
        ),
        source="Nanda et al. (2023), arXiv:2301.05217, section 5; measured by GRK2",
        claims=("GRK2",),
    ),
    Correction(
        id="grokking-decay",
        section=_SECTION,
        lecture="Why grokking happens: memorize, simplify, generalize. Weight decay is not mentioned.",
        right="Something must bound the norm: decay, with a delay of a + b/(rate x decay), or a norm that is frozen.",
        why=(
            "Without decay the training loss falls for ever by larger weights alone, and in float32 comes to 0. "
            "With the norms frozen at memorization and no decay networks generalize."
        ),
        source="Liu et al. (2023), arXiv:2210.01117; Prieto et al. (2025), arXiv:2501.04697; measured by GRK3",
        claims=("GRK3",),
    ),
    Correction(
        id="grokking-frequencies",
        section=_SECTION,
        lecture="It learns the algorithm.",
        right="This perceptron does, with one frequency a neuron and nearly all frequencies in the network.",
        why=(
            "A few frequencies suffice to tell p answers apart, and transformers use few. Neurons of a perceptron each "
            "find one, and none of them is left out."
        ),
        source="Nanda et al. (2023), arXiv:2301.05217; Gromov (2023), arXiv:2301.02679; measured by GRK4",
        claims=("GRK4",),
    ),
)
