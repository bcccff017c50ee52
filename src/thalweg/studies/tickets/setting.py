"""What the claims about perceptrons look at: networks on MNIST-1D, settings, and tickets beside their controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from thalweg import data, nets, optim, schedules, sweep, tickets
from thalweg.evaluation import Sample
from thalweg.population import Problem
from thalweg.results import Reading
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.tickets import Search
from thalweg.training import Recipe

# Seeds of the generator: 42 made the examples to train on, these make those to test on, to tune rates on, and a fresh
# draw to train on.
TESTED, TUNED, FRESH = 43, 44, 45
# The dense network's best of 0.1, 0.2, 0.3, 0.4 and 0.6 in pilots, on seeds and examples on which nothing is scored: at
# width 100 after 500 steps, and again at width 200 after 2,000. (At width 100 after 4,000 steps 0.4 is as good.)
RATE = 0.3
UNIT, UNITS = "points of test accuracy", "hidden units a layer"
ALL = (-100.0, 100.0)  # bounds of a difference in points
MARGIN = 0.5  # points by which a ticket may be worse and match
UNKNOWN = Interval.missing("not run at this scale")


@dataclass(frozen=True)
class Setting:
    """A width, a length of training, what a level of pruning keeps, and the level that is scored.

    Args:
        width: units of both hidden layers.
        steps: of every training.
        keep: of what remains, at every level, by kind of layer.
        levels: how many.
        scored: the level at which claims are judged, fixed before anything was trained.
        sparse: that at which iterative pruning is.
        dense: an early level, at which two claims expect no difference.
    """

    width: int
    steps: int
    keep: Mapping[str, float]
    levels: int
    scored: int
    sparse: int
    dense: int

    @property
    def text(self) -> str:
        """In words."""
        return f"width {self.width}, {self.steps:,} steps"


# A level is two rounds as published (20 % of what remains, 10 % of the output layer), or four.
TWO_ROUNDS, FOUR_ROUNDS = {"hidden": 0.64, "output": 0.81}, {"hidden": 0.43, "output": 0.65}
SMALL = Setting(100, 500, TWO_ROUNDS, levels=6, scored=4, sparse=6, dense=2)
LARGE = Setting(200, 2_000, FOUR_ROUNDS, levels=3, scored=3, sparse=3, dense=2)
LONG = Setting(100, 4_000, FOUR_ROUNDS, levels=2, scored=2, sparse=2, dense=1)  # where tickets must not match


def network(width: int) -> nn.Sequential:
    """40-width-width-10 with ReLU, weights by He's rule, biases zero."""
    net = nets.mlp(40, width, width, 10)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def signals(*, test: int = TESTED, train: int | None = None) -> data.Data:
    """MNIST-1D: its 4,000 training examples, or as many of another seed, and 10,000 of a further seed to test on.

    The 1,000 test examples of the package would leave 1.5 points of doubt.
    """
    published = data.mnist1d()
    drawn = published if train is None else data.mnist1d(seed=train)
    fresh = data.mnist1d(train=10_000, test=10, seed=test).train
    note = f"MNIST-1D, training examples of seed {train or 42}, 10,000 test examples of seed {test}"
    return replace(published, train=drawn.train, test=fresh, notes=(note,))


def problem_of(lab: Lab, width: int, on: data.Data | None = None) -> Problem:
    """The network of a width on these data, or on MNIST-1D."""
    return Problem(partial(network, width), signals() if on is None else on, device=lab.device)


def recipe_of(steps: int, rate: float | Sequence[float] = RATE) -> Recipe:
    """Momentum 0.9, decay 1e-3, batches of 100, a cosine to 0; evaluated before the first step and after the last."""
    rule = optim.Momentum(sweep.values(rate) if isinstance(rate, Sequence) else rate, weight_decay=1e-3)
    seen = Sample("train", 1_000)
    return Recipe(rule, steps, 100, schedules.Cosine(), evaluate=0, evaluate_train_on=seen)


@dataclass(frozen=True, eq=False)
class Searched:
    """Tickets and their controls in one setting."""

    setting: Setting
    problem: Problem
    search: Search

    @property
    def seeds(self) -> list[int]:
        """Of its networks."""
        return [int(seed) for seed in self.search.reading.coordinate("seed")]

    @property
    def reading(self) -> Reading:
        """All numbers, by the name of the setting."""
        return replace(self.search.reading, name=f"{self.search.reading.name}, {self.setting.text}")

    @property
    def text(self) -> str:
        """Width, steps and the sparsity of the scored level, in words."""
        return f"{self.setting.text}, {self.sparsity()} sparse"

    def sparsity(self, level: int | None = None) -> str:
        """That of a level, by default the scored one, in words."""
        return f"{1 - self.search.densities[(level or self.setting.scored) - 1]:.0%}"

    def better(self, than: str, arm: str = "ticket", level: int | None = None) -> Interval:
        """By how many points an arm is better than another over paired seeds, at a level or the scored one."""
        level = level or self.setting.scored
        first, second = (100 * self.search.of(level, name) for name in (arm, than))
        return interval.difference(first, second, bounds=ALL)

    def accuracy(self, arm: str, level: int | None = None) -> Interval:
        """The test accuracy of an arm in percent."""
        return interval.mean(100 * self.search.of(level or self.setting.scored, arm), bounds=(0, 100))

    def has(self, arm: str) -> list[int]:
        """The levels at which an arm was trained."""
        return [level for level, runs in enumerate(self.search.runs, start=1) if arm in runs]


def searched(
    lab: Lab,
    setting: Setting,
    seeds: list[int],
    arms: Mapping[str, Sequence[int]],
    label: str,
    on: data.Data | None = None,
) -> Searched:
    """Search in a setting, with these arms at these levels."""
    problem = problem_of(lab, setting.width, on)
    found = tickets.search(
        problem,
        recipe_of(setting.steps),
        seeds=seeds,
        rounds=setting.levels,
        keep=setting.keep,
        arms=arms,
        progress=lab.labelled(f"{label}, {setting.text}"),
        workers=lab.workers,
    )
    return Searched(setting, problem, found)
