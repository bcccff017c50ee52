"""A line of the board: a bound, of what predictor, on what, and how sure."""

from dataclasses import dataclass

import numpy as np

from thalweg.generalization.bounds.arguments import Array

NETWORK = "the network"
GIBBS = "networks drawn around it"
QUANTIZED = "the quantized network"


@dataclass(frozen=True, eq=False)
class BoundRow:
    """What one family says of every member.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> row = tw.generalization.bounds.BoundRow("VC", np.array([4.0]), np.array([0.0]), "the network", 1_000, 0.95)
    >>> row.vacuous(classes=10).tolist()
    [True]

    Args:
        family: its name.
        bound: of the risk: (members,).
        error: of the predictor on the examples of the bound, or with the margin that was best: (members,).
        about: which predictor it is about: the network itself, networks drawn around it, or a quantized one.
        examples: how many the bound was taken on.
        confidence: with which probability it holds, for each member by itself.
        generous: whether constants were dropped: then it is no bound, but smaller than the bound.
        note: what was chosen, and what it cost.
    """

    family: str
    bound: Array
    error: Array
    about: str
    examples: int
    confidence: float
    generous: bool = False
    note: str = ""

    def vacuous(self, classes: int) -> np.ndarray:
        """Whether it says no more than is known of a guess, which errs in 1 - 1/classes: (members,)."""
        return ~(self.bound < 1 - 1 / classes)  # what is no number says nothing, either
