"""Rules on a quadratic, on which each eigenvector's share of the error, a mode, goes its own way at a known rate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, HeatMap
from thalweg.optim import Rule, follow
from thalweg.results import Reading, Summarized
from thalweg.results.summary import spanned

_SHOWN = 1e-8  # of a mode at the start: what is smaller is drawn as this
_UNDERFLOW = 1e-280


@dataclass(frozen=True, eq=False)
class Modes(Summarized):
    """What is left of every mode of a quadratic.

    >>> import thalweg as tw
    >>> found = tw.tuning.modes({"SGD": tw.optim.SGD(0.5)}, eigenvalues=[0.4, 1.0], steps=2)
    >>> found["left"].round(4).tolist()
    [[[1.0, 1.0], [0.8, 0.5], [0.64, 0.25]]]

    Args:
        eigenvalues: (modes,).
        left: by rule, the error of every mode, 1 at the start: (steps + 1, modes).
    """

    eigenvalues: NDArray[np.float64]
    left: Mapping[str, NDArray[np.float64]]

    def facts(self) -> dict[str, str]:
        """The eigenvalues, and what a step of each rule multiplies the distance by."""
        rules = ", ".join(f"{name} {factor:.4g}" for name, factor in self.contraction.items())
        return {"eigenvalues": f"{len(self.eigenvalues)}, {spanned(self.eigenvalues)}", "contraction": rules}

    @property
    def losses(self) -> dict[str, NDArray[np.float64]]:
        """By rule, sum_i h_i theta_i^2 / 2, divided by that of the start: (steps + 1,)."""
        share = self.eigenvalues / self.eigenvalues.sum()
        return {name: (share * each**2).sum(1) for name, each in self.left.items()}

    @property
    def contraction(self) -> dict[str, float]:
        """By rule, what a step multiplies the distance to the minimum by, over the later half of the steps."""
        found = {}
        for name, values in self.losses.items():
            last = int((values > _UNDERFLOW).sum()) - 1
            found[name] = float((values[last] / values[last // 2]) ** (0.5 / (last - last // 2)))
        return found

    @property
    def reading(self) -> Reading:
        """Arrays "left" (rule, step, eigenvalue) and "loss" (rule, step)."""
        return Reading(
            "modes of a quadratic",
            {"left": list(self.left.values()), "loss": list(self.losses.values())},
            {"left": ("rule", "step", "eigenvalue"), "loss": ("rule", "step")},
            {"rule": list(self.left), "eigenvalue": self.eigenvalues},
        )

    def __getitem__(self, array: str) -> NDArray[np.float64]:
        return self.reading[array]

    def figure(self, steps: int | None = None) -> Figure:
        """One panel a rule: what is left of every mode over the steps, or the first few of them."""
        panels = []
        for name, each in self.left.items():
            shown = np.maximum(np.abs(each[:steps]), _SHOWN).T
            panels.append(
                Figure.of(
                    name,
                    (HeatMap(np.arange(shown.shape[1], dtype=float), self.eigenvalues, shown, label="mode"),),
                    x=Axis("step"),
                    y=Axis("eigenvalue", scale="log"),
                    z=Axis("what is left of the mode", scale="log", limits=(_SHOWN, 1.0)),
                )
            )
        return Figure.row(
            panels,
            title="A quadratic, mode by mode",
            caption=f"What is left of each mode, 1 at the start. Less than {_SHOWN:g} is drawn as that.",
        )


@in_words
def modes(rules: Mapping[str, Rule], eigenvalues: ArrayLike, steps: int) -> Modes:
    """Minimize sum_i h_i theta_i^2 / 2 from theta = 1, and keep every theta_i of every step.

    SGD of rate lr multiplies mode i by 1 - lr h_i a step; with momentum modes may swing on their way.

    >>> import thalweg as tw
    >>> found = tw.tuning.modes({"SGD": tw.optim.SGD(0.5)}, eigenvalues=[0.1, 1.0], steps=100)
    >>> found.left["SGD"][:3, 0].round(4).tolist(), round(found.contraction["SGD"], 6)
    ([1.0, 0.95, 0.9025], 0.95)

    Args:
        rules: by name.
        eigenvalues: h of each mode, positive: (modes,).
        steps: of every rule.

    Raises:
        UsageError: eigenvalues that are not positive numbers in a row.

    Source: Goh (2017), Why momentum really works, doi:10.23915/distill.00006.
    """
    h = torch.as_tensor(np.asarray(eigenvalues, dtype=np.float64))
    if h.ndim != 1 or not len(h) or not bool((h > 0).all()):
        msg = f"modes needs positive eigenvalues (modes,); got {np.asarray(eigenvalues).tolist()}."
        raise UsageError(msg)
    start = torch.ones(1, len(h), dtype=torch.float64)
    left = {name: follow(rule, lambda theta: h * theta, start, steps)[:, 0].numpy() for name, rule in rules.items()}
    return Modes(h.numpy(), left)
