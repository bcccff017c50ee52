"""Ways to make a network generalize sooner, or not at all, as arms to be compared."""

from dataclasses import dataclass

from thalweg import optim
from thalweg.errors import check_type
from thalweg.losses import CrossEntropy, StableMax
from thalweg.losses.per_position import NamedLoss
from thalweg.optim import Rule, Wrapper
from thalweg.optim.rule import Swept


@dataclass(frozen=True)
class Arm:
    """A rule and the loss it goes with.

    >>> from thalweg.generalization import grokking
    >>> grokking.arms(0.01, 0.4)["no decay"].optimizer.weight_decay
    0.0
    """

    optimizer: Rule | Wrapper
    loss: NamedLoss


def arms(lr: Swept, decay: float, *, beta1: float = 0.9, beta2: float = 0.98) -> dict[str, Arm]:
    """What is said to hasten or to prevent grokking.

    "AdamW"; "no decay"; "frozen norm", each tensor's norm held where it was and no decay; "perpendicular gradient"
    (Prieto et al., 2025, arXiv:2501.04697); "Grokfast" (Lee et al., 2024, arXiv:2405.20233); "StableMax" in the place
    of softmax (Prieto et al.). All but "no decay" and "frozen norm" have the decay given here, while published
    comparisons differ in it. Compare each at its own best rate. Grokfast adds to the gradient twice its running mean:
    AdamW divides out what this multiplies all gradients by, and what is left is the greater weight of past ones.

    >>> import thalweg as tw
    >>> from thalweg.generalization import grokking
    >>> data, found = tw.data.modular(5, train_fraction=0.8, encoding="tokens"), {}
    >>> for name, arm in grokking.arms(lr=0.01, decay=0.4).items():
    ...     problem = tw.Problem(lambda: tw.nets.modular_mlp(5, 16), data, arm.loss)
    ...     found[name] = tw.train(problem, tw.Recipe(arm.optimizer, steps=5), seeds=2)
    >>> list(found)
    ['AdamW', 'no decay', 'frozen norm', 'perpendicular gradient', 'Grokfast', 'StableMax']

    Args:
        lr: the rate, or a sweep or list of rates to tune.
        decay: decoupled and coupled to the rate, as torch's AdamW has it.
        beta1, beta2: of the moments. With 0.999 the last rise of accuracy takes several times as long as with 0.98.
    """
    check_type("arms decay", decay, (int, float), "a number such as 0.4")
    adamw = optim.AdamW(lr, beta1, beta2, weight_decay=decay)
    without = optim.AdamW(lr, beta1, beta2, weight_decay=0.0)
    softmax = CrossEntropy()
    return {
        "AdamW": Arm(adamw, softmax),
        "no decay": Arm(without, softmax),
        "frozen norm": Arm(optim.FrozenNorm(without), softmax),
        "perpendicular gradient": Arm(optim.Orthogonal(adamw), softmax),
        "Grokfast": Arm(optim.Grokfast(adamw), softmax),
        "StableMax": Arm(adamw, StableMax()),
    }
