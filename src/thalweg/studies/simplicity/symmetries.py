"""SIM5: a network has the symmetries of its architecture; they help where the data have them, and hurt where not.

Nothing here says that training finds a symmetry. So it is tested by an interaction: the same two networks on signals
that are translated, on the same signals with their coordinates shuffled, and on pulses whose place is the label.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg import data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.data import Data, Examples, pooled
from thalweg.figures import Axis, Figure, Line, ReferenceLine, interval_bars
from thalweg.generalization.dealt import drawn_anew
from thalweg.generalization.simplicity import permutation, rolls, symmetry
from thalweg.population import Problem
from thalweg.randomness import generator
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
TRUE, SHUFFLED, PULSE = "true order", "shuffled", "place is the label"
POOLED, FLATTENED, PERCEPTRON = "convnet, pooled", "convnet, flattened", "MLP"
SHIFT, GAIN, INTERACTION, NULL, UNPOOLED = "shifted by 20", "gain", "interaction", PULSE, "without pooling"
LOST = "points of test accuracy lost, MLP - convnet"
POINTS = "points of test accuracy, convnet - MLP"
SHIFTS = (0, 1, 3, 10, 20)
N, TESTED, LENGTH, STEPS = 1_000, 1_000, 40, 500
CLAIM = Claim(
    id="SIM5",
    statement=f"On {N:,} signals of MNIST-1D a network that is invariant to shifts by construction (two circular "
    "convolutions of 24 channels, the mean over places) loses more than 5 points less than an MLP 40-100-100-10 when "
    "test signals are shifted by 20 of 40 places, and is more than 10 points more accurate on signals as they are, "
    "by more than 10 points more than with the coordinates in a random order of each seed; where the place of a pulse "
    f"is the label it is more than 50 points less accurate ({STEPS} steps of Adam, whose rates, 1e-2 and 3e-3, are set "
    "and not chosen).",
    lecture="Networks prefer simple functions that match data symmetries.",
    rule=every_part(),
    unit=POINTS,
    corrected="A network has the symmetries of its architecture, before training and after, whether or not the data "
    "have them. Where the data do, it gains; where the label breaks the symmetry, it cannot learn it.",
    parts=(
        Part(
            SHIFT, "The MLP loses more by a shift.", greater(0, worth=5), "points of test accuracy lost, MLP - convnet"
        ),
        Part(GAIN, "On signals as they are the convnet is better.", greater(0, worth=10), POINTS),
        Part(INTERACTION, "It is better by more than with shuffled coordinates.", greater(0, worth=10), POINTS),
        Part(NULL, "Where the label breaks the symmetry the convnet is worse.", less(0, worth=-50), POINTS),
        Part(
            UNPOOLED,
            "With the same convolutions and no mean over places a shift costs less than it costs the MLP.",
            greater(0),
            LOST,
            decides=False,
        ),
    ),
)


def convnet(*, mean: bool, channels: int = 24) -> nn.Sequential:
    """Two circular convolutions, then the mean over places or all of them, and a linear layer: (batch, 40) to 10."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(unflatten=nn.Unflatten(1, (1, LENGTH)))
    for number, width in enumerate((1, channels), start=1):
        layers[f"convolution{number}"] = nn.Conv1d(width, channels, 5, padding=2, padding_mode="circular")
        layers[f"activation{number}"] = nn.ReLU()
    if mean:
        layers["mean"] = nn.AdaptiveAvgPool1d(1)
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear(channels if mean else channels * LENGTH, 10)
    return nn.Sequential(layers)


@dataclass(frozen=True)
class Net:
    """A network, the rate of Adam, which is set and never chosen, and on what it is trained."""

    name: str
    model: Callable[[], nn.Module]
    rate: float
    on: tuple[str, ...] = (TRUE, SHUFFLED, PULSE)


NETS = (
    Net(POOLED, partial(convnet, mean=True), 1e-2),
    Net(PERCEPTRON, partial(nets.mlp, LENGTH, 100, 100, 10), 3e-3),
)
WITHOUT = Net(FLATTENED, partial(convnet, mean=False), 5e-3, (TRUE, SHUFFLED))


def pulses(count: int, draw: torch.Generator, noise: float = 0.3) -> Examples:
    """A bump of height 1 at one of 10 places around a circle of 40, with noise; the place is the label."""
    labels = torch.randint(10, (count,), generator=draw)
    away = (torch.arange(LENGTH) - 4 * labels[:, None]).abs()
    bumps = (-0.5 * (torch.minimum(away, LENGTH - away) / 1.5) ** 2).exp()
    return Examples(bumps + noise * torch.randn(count, LENGTH, generator=draw), labels)


@dataclass(frozen=True, eq=False)
class Signals:
    """What each seed is trained and tested on, by kind; `orders` shuffle coordinates, and tests are as they were."""

    train: dict[str, list[Examples]]
    test: dict[str, list[Examples]]
    orders: list[Callable[[Tensor], Tensor]]


def signals(seeds: Sequence[int]) -> Signals:
    """1,000 signals to train on and 1,000 others to test on, the same in a random order, and pulses, for each seed.

    Every seed has an order of its own, so that an interval over seeds covers the draw of the order.
    """
    sets, whole, tested = drawn_anew(data.mnist1d(train=19_000, test=1_000), N, seeds, stream="symmetries", test=TESTED)
    orders = [permutation(LENGTH, seed=seed) for seed in seeds]
    shuffled = [
        Examples(order(torch.as_tensor(one.inputs)), one.targets) for order, one in zip(orders, sets, strict=True)
    ]
    tests = [whole.select(rows) for rows in tested]
    placed = [[pulses(N, generator(seed, f"pulses, {part}")) for seed in seeds] for part in ("train", "test")]
    return Signals(
        {TRUE: sets, SHUFFLED: shuffled, PULSE: placed[0]}, {TRUE: tests, SHUFFLED: tests, PULSE: placed[1]}, orders
    )


@dataclass(frozen=True, eq=False)
class Accuracies:
    """Accuracy of one network in points.

    Args:
        test: by what it was trained on: (seeds, shifts).
        train: likewise, on the signals trained on.
    """

    test: dict[str, Array]
    train: dict[str, float]

    def drop(self, kind: str = TRUE) -> Array:
        """What a shift by 20 costs: (seeds,)."""
        return self.test[kind][:, 0] - self.test[kind][:, -1]


def trained(lab: Lab, net: Net, given: Signals, seeds: Sequence[int]) -> Accuracies:
    """Networks (kinds, seeds) as one population, each tested on its own examples, shifted by so many places.

    Shuffled signals are shifted before their coordinates are put in the other order, as the signal is what moves.
    """
    pool, rows = pooled([one for kind in net.on for one in given.train[kind]])
    problem = Problem(net.model, Data(pool, name="MNIST-1D and pulses", classes=10), device=lab.device)
    recipe = Recipe(optim.Adam(net.rate), STEPS, 50, evaluate=0)
    run = lab.train(problem, recipe, list(seeds) * len(net.on), net.name, examples=rows)
    plain = rolls(SHIFTS)
    shuffled = [
        {shift: lambda x, roll=roll, order=order: order(roll(x)) for shift, roll in plain.items()}
        for order in given.orders
    ]
    test, fitted = {}, {}
    for number, kind in enumerate(net.on):
        own = range(number * len(seeds), (number + 1) * len(seeds))
        found = [
            symmetry(problem, run.final[[member]], moves, on=held)["accuracy"][0]
            for member, held, moves in zip(
                own, given.test[kind], shuffled if kind == SHUFFLED else [plain] * len(seeds), strict=True
            )
        ]
        test[kind] = 100 * np.stack(found)
        fitted[kind] = 100 * float(run.history["train_accuracy"][-1, list(own)].mean())
    return Accuracies(test, fitted)


def judged(found: dict[str, Accuracies]) -> dict[str, Interval]:
    """The interval of every part."""
    pooled_, perceptron = found[POOLED], found[PERCEPTRON]
    gain = {kind: pooled_.test[kind][:, 0] - perceptron.test[kind][:, 0] for kind in (TRUE, SHUFFLED, PULSE)}
    missing = Interval.missing("trained at full scale alone")
    flattened = found.get(FLATTENED)
    return {
        SHIFT: interval.mean(perceptron.drop() - pooled_.drop()),
        GAIN: interval.mean(gain[TRUE]),
        INTERACTION: interval.mean(gain[TRUE] - gain[SHUFFLED]),
        NULL: interval.mean(gain[PULSE]),
        UNPOOLED: missing if flattened is None else interval.mean(perceptron.drop() - flattened.drop()),
    }


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train on signals, on shuffled ones and on pulses, and shift the test signals."""
    seeds = lab.seeds(quick=4, full=8).scored
    given = signals(seeds)
    found = {net.name: trained(lab, net, given, seeds) for net in lab.pick(quick=NETS, full=(*NETS, WITHOUT))}
    drops = {name: float(one.drop().mean()) for name, one in found.items()}
    other = {name: float(one.drop(SHUFFLED).mean()) for name, one in found.items()}
    rates = ", ".join(f"{net.rate:g} for the {net.name}" for net in (*NETS, WITHOUT) if net.name in found)
    as_is = {name: {kind: float(one.test[kind][:, 0].mean()) for kind in one.test} for name, one in found.items()}
    return lab.finding(
        parts=judged(found),
        figures=figure(found),
        readings=[
            lab.reading(
                f"test accuracy, {name}",
                [one.test[kind] for kind in one.test],
                {"trained on": list(one.test), "seed": seeds, "shift": SHIFTS},
                unit="%",
            )
            for name, one in found.items()
        ],
        sentences=[
            "Test signals shifted by half their length cost "
            + ", ".join(f"the {name} {drop:.1f}" for name, drop in drops.items())
            + f" points, at rates of Adam that were set and not chosen ({rates}).",
            f"In the true order the pooled convnet is right on {as_is[POOLED][TRUE]:.1f} % and the MLP on "
            f"{as_is[PERCEPTRON][TRUE]:.1f} %, with shuffled coordinates on {as_is[POOLED][SHUFFLED]:.1f} and "
            f"{as_is[PERCEPTRON][SHUFFLED]:.1f} %. Shuffled, a shift of the signal costs the one {other[POOLED]:.1f} "
            f"points and the other {other[PERCEPTRON]:.1f}.",
            f"Where the place of a pulse is the label the pooled convnet is right on {as_is[POOLED][PULSE]:.1f} %, "
            f"chance being 10 %, and the MLP on {as_is[PERCEPTRON][PULSE]:.1f} %.",
        ],
        numbers={
            "test accuracy": as_is,
            "training accuracy": {name: one.train for name, one in found.items()},
            "points that a shift by 20 costs": {"true order": drops, "shuffled": other},
        },
    )


def figure(found: dict[str, Accuracies]) -> Figure:
    """Accuracy against the shift, of signals in their order and shuffled; and where the label breaks the symmetry."""
    shifted = Figure.of(
        "Shifts of test signals",
        [
            *(
                Line(np.array(SHIFTS), one.test[kind].mean(0), label=name if kind == TRUE else f"{name}, shuffled")
                for kind in (TRUE, SHUFFLED)
                for name, one in found.items()
            ),
            ReferenceLine(10.0, label="chance"),
        ],
        Axis("shift", "places"),
        Axis("test accuracy", "%"),
    )
    ends = {
        name: interval.mean(one.test[PULSE][:, 0], bounds=(0, 100)) for name, one in found.items() if PULSE in one.test
    }
    bars = Figure.of(
        "The place is the label",
        [interval_bars(ends), ReferenceLine(10.0)],
        Axis(""),
        Axis("test accuracy", "%"),
    )
    return Figure.row(
        [shifted, bars],
        title="Symmetry by construction",
        caption=f"{N:,} signals of MNIST-1D, as they are or with their coordinates shuffled, or pulses; {STEPS} steps "
        f"of Adam; means over {len(found[POOLED].test[TRUE])} seeds. The dashed line at 10 % is chance.",
    )
