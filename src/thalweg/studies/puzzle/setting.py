"""What the study trains: a perceptron on digits, with one recipe at every fraction of random labels.

All networks of all fractions are one population, and claims about memorizing and about bounds look at the same ones.
"""

from dataclasses import dataclass, replace
from functools import partial

from thalweg import data, generalization, nets, optim
from thalweg.generalization import Memorization
from thalweg.studies.lab import Lab
from thalweg.training import Recipe


@dataclass(frozen=True)
class Setting:
    """How networks are trained, at every fraction alike: Adam without decay, batches of 100.

    Args:
        hidden: units of every hidden layer; none is softmax regression.
        n: examples to train on, drawn anew for every seed; all others are tested on.
        steps: of training.
        fractions: of random labels.
        rate: of Adam.
    """

    hidden: tuple[int, ...]
    n: int
    steps: int
    fractions: tuple[float, ...]
    rate: float = 3e-3

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the inputs, every hidden layer and the outputs."""
        return (64, *self.hidden, 10)

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.n:,} digits, {'-'.join(map(str, self.widths))}, {self.steps:,} steps"

    def with_hidden(self, *hidden: int) -> "Setting":
        """The same with other hidden layers."""
        return replace(self, hidden=hidden)

    @property
    def recipe(self) -> Recipe:
        """Evaluated at 60 steps at equal ratios."""
        return Recipe(optim.Adam(self.rate), self.steps, 100, evaluate=60, spacing="log")


QUICK = Setting((256,), 300, 800, (0.0, 1.0))
FULL = Setting((512,), 500, 1_500, (0.0, 0.25, 0.5, 0.75, 1.0))


def trained(lab: Lab, setting: Setting, seeds: list[int]) -> Memorization:
    """Networks of a setting for each seed at every fraction, as one population."""
    return generalization.memorization(
        partial(nets.mlp, *setting.widths),
        data.digits(),
        setting.recipe,
        n=setting.n,
        fractions=setting.fractions,
        seeds=seeds,
        device=lab.device,
        progress=lab.labelled(setting.text),
        workers=lab.workers,
    )


def shared(lab: Lab) -> Memorization:
    """The networks that claims about memorizing and about bounds look at: 6 seeds at quick scale, 10 at full scale."""
    return trained(lab, lab.pick(quick=QUICK, full=FULL), lab.seeds(quick=6, full=10).scored)
