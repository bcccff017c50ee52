"""GEN2: what classical bounds say of networks that could have memorized random labels, and of a small class.

The board pays for what the data chose, norms and margins, by a union over a grid, so that its printed bounds are a
little larger than with a union over the seven margins alone; the generous forms pay for nothing. The smallest of all
bounds is judged in two parts: those by counting are numbers of m and p alone, the same for every seed. What is said of
every bound is judged by that of the worst seed, and not by a mean over them.

As designed, the claim is scored by the smallest bound, and the small class is its planted null: the same code must be
able to say that a bound is not vacuous. Each of its parts has an outcome of its own, also the one above its line.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import data, generalization, nets
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.data import Data, Examples
from thalweg.figures import Figure
from thalweg.generalization import Memorization, bounds
from thalweg.generalization.bounds import Board
from thalweg.generalization.bounds.by_norms import dimension_of
from thalweg.generalization.bounds.chain import chain_of
from thalweg.statistics import POSITIVE, Interval
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle.setting import FULL, QUICK
from thalweg.studies.puzzle.small_class import DELTA, FAMILIES, FINITE, SmallClass, small_class

Array = NDArray[np.float64]
COUNTED, NORMS, RANDOM = "by counting", "by covers and norms", "random labels"
SMALL = {
    family: f"small class, {name}" for family, name in zip((*FAMILIES, FINITE), ("cover", "VC", "rules"), strict=True)
}
LOG, BOUND = "log10 of the smallest bound", "bound"
COIN_SEEDS = 3
BY_COUNTING = ("finite class", "VC, parameters as dimension", "VC, ReLU networks")
BY_NORMS = (
    "cover of the parameters",
    "Golowich, Frobenius norms",
    "Golowich, constants dropped",
    "Bartlett, spectral norms",
    "Bartlett, constants dropped",
)
CLAIM = Claim(
    id="GEN2",
    statement="For networks with more parameters than examples every bound tried by counting, covering, VC dimension "
    "and norms is at least 1, also where its constants are dropped. (Networks trained on true labels: "
    f"{QUICK.text}, or {FULL.text}; delta = {DELTA:g}.)",
    lecture="Rademacher complexity and VC dimension go to infinity for deep networks, so that bounds are vacuous.",
    rule=every_part(),
    unit=LOG,
    corrected="Vacuous belongs to a class, a sample size and a bound, not to networks: of 1,000 examples a linear "
    "classifier in 64 dimensions has a vacuous VC bound, too. Nothing is infinite: the VC dimension is at most of "
    "order W L log W, and the Rademacher complexity of the 0-1 loss is by its definition at most 1/2; upper bounds of "
    "it by norms are what explodes.",
    parts=(
        Part(COUNTED, "The smallest bound by counting and VC dimension is at least 1.", greater(0), LOG),
        Part(NORMS, "In no seed is a bound by covers and norms below 1, constants dropped too.", greater(0), LOG),
        *(
            Part(SMALL[family], f"{text} is below 0.5 in every seed.", less(0.5), BOUND, decides=False, bounds=POSITIVE)
            for family, text in zip(
                SMALL,
                (
                    "The cover bound of a network of 26 parameters with 50,000 examples",
                    "Its VC bound, by the dimension that networks of ReLU have at most,",
                    "The bound of one of 100 rules with 1,000 examples",
                ),
                strict=True,
            )
        ),
        Part(
            RANDOM,
            "On random labels no bound of the board is below 0.9.",
            less(0.5),
            "networks of which one is, counted",
            decides=False,
            bounds=POSITIVE,
            repeats="networks",
        ),
    ),
)


@dataclass(frozen=True, eq=False)
class Looked:
    """What the bounds are.

    Args:
        boards: of networks trained on true labels, one a seed.
        random: of those trained on random labels.
        small: of the small class.
        coins: training accuracy on coin flips: (seeds,).
        needed: from how many examples on a bound by counting is below 1, by family.
    """

    boards: list[Board]
    random: list[Board]
    small: SmallClass
    coins: Array
    needed: dict[str, int]


def board_of(lab: Lab, networks: Memorization, fraction: float, place: int) -> Board:
    """Every bound of the network of a seed, on what it was trained on."""
    member, seed = networks.members(fraction)[place], networks.seeds[place]
    return bounds.board(
        networks.problem,
        networks.final[[member]],
        on=networks.training_set(member),
        held_out=networks.held_out(member) if fraction == 0 else None,
        initial=networks.problem.initialize([seed]),
        delta=DELTA,
        draws=lab.pick(quick=20, full=300),
        seed=seed,
        progress=None,
    )


def coin_flips(lab: Lab, seeds: list[int]) -> Array:
    """Training accuracy of the same networks, by the same recipe, on yes and no by the flip of a coin: (seeds,)."""
    digits, own = data.digits(), lab.pick(quick=QUICK, full=FULL)
    train = digits.train
    assert isinstance(train, Examples)
    two = Data(Examples(train.inputs, torch.as_tensor(train.targets) % 2), name="digits", classes=2)
    found = generalization.memorization(
        partial(nets.mlp, *own.widths),
        two,
        replace(own.recipe, evaluate=1),
        n=own.n,
        fractions=(1.0,),
        seeds=seeds,
        device=lab.device,
        progress=lab.labelled("coin flips"),
        workers=lab.workers,
    )
    return found["train accuracy"][0, -1]


def examples_needed(networks: Memorization) -> dict[str, int]:
    """From how many examples on a bound by the number of parameters is below 1 if no training answer is wrong."""
    p, dimension = networks.problem.layout.parameters, dimension_of(chain_of(networks.problem), 10)
    sizes = {
        "finite class": lambda m: float(bounds.finite_class(0.0, m, 32 * p * np.log(2), DELTA)),
        "VC, parameters as dimension": lambda m: float(bounds.vc(0.0, m, p, DELTA)),
        "VC, ReLU networks": lambda m: float(bounds.vc(0.0, m, dimension, DELTA)),
    }
    return {name: bounds.examples_needed(of) for name, of in sizes.items()}


def looked_at(lab: Lab, networks: Memorization) -> Looked:
    """Bound networks of all seeds on true labels, of a few on random ones, and a small class."""
    places = range(len(networks.seeds))
    return Looked(
        [board_of(lab, networks, 0.0, place) for place in places],
        [board_of(lab, networks, 1.0, place) for place in places],
        small_class(lab, networks.seeds),
        coin_flips(lab, networks.seeds[:COIN_SEEDS]),
        examples_needed(networks),
    )


def smallest(boards: list[Board], families: tuple[str, ...] | None = None) -> Array:
    """The smallest bound of some families, or of all: (seeds,)."""
    return np.array(
        [min(float(row.bound[0]) for row in one.rows if families is None or row.family in families) for one in boards]
    )


def by_counting(looked: Looked) -> Interval:
    """The smallest bound by counting without its training errors: a number of m and p alone, exact for every seed.

    Training errors can only make it larger, so that what holds of it holds of the bounds.
    """
    rows = [row for one in looked.boards for row in one.rows if row.family in BY_COUNTING]
    least = min(float(np.log10(row.bound[0] - row.error[0])) for row in rows)
    return Interval(least, least, least, len(looked.boards), "exact: a number of m and p, without training errors")


def by_norms(looked: Looked) -> Interval:
    """The smallest bound by covers and norms of all seeds, as what is said of every bound is said of that one."""
    return worst(float(np.log10(smallest(looked.boards, BY_NORMS)).min()), len(looked.boards))


def worst(value: float, seeds: int) -> Interval:
    """What is said of every seed, judged by the one of which it is least true."""
    return Interval(value, value, value, seeds, "of the worst seed, exact")


def below(least: Array) -> Interval:
    """Of how many networks the smallest bound is below 0.9: a count of all there are, with no doubt about it."""
    count = int((least < 0.9).sum())
    return Interval(count, count, count, len(least), "counted, all of them")


def found(lab: Lab, looked: Looked) -> Finding:
    """What they say of the claim."""
    small, board = looked.small, bounds.side_by_side(looked.boards)
    seeds = range(len(looked.boards))
    middle = {row.family: float(np.median(row.bound)) for row in board.rows}
    own = {name: middle[name] for name in (*BY_COUNTING, *BY_NORMS)}
    held = float(np.median(board["held-out error"]))
    return lab.finding(
        claim=CLAIM,
        parts={
            COUNTED: by_counting(looked),
            NORMS: by_norms(looked),
            **{part: worst(float(small.bounds[name].max()), len(seeds)) for name, part in SMALL.items()},
            RANDOM: below(smallest(looked.random)),
        },
        numbers={
            "median bound": middle,
            "median bound on random labels": {
                row.family: float(np.median([one.row(row.family).bound[0] for one in looked.random]))
                for row in looked.random[0].rows
            },
            "examples from which it is below 1": looked.needed,
            "mean bound of the small class": {name: float(of.mean()) for name, of in small.bounds.items()},
            "mean risk of the small class": {name: float(of.mean()) for name, of in small.risks.items()},
            "training accuracy on coin flips": looked.coins.tolist(),
        },
        figures=picture(board, "Classical bounds of networks that generalize"),
        readings=[
            lab.reading("bound", board["bound"], {"family": [row.family for row in board.rows], "seed": seeds}),
            lab.reading(
                "bound of the small class",
                list(small.bounds.values()),
                {"family": list(small.bounds), "seed": seeds},
            ),
        ],
        sentences=[
            f"These networks err on {held:.1%} of held-out digits. Bounds from the smallest to the largest (median): "
            + ", ".join(f"{name} {value:.3g}" for name, value in sorted(own.items(), key=lambda one: one[1]))
            + ". Those with constants dropped are no bounds, but smaller than any.",
            f"The same code gives {', '.join(f'{of.mean():.2f} ({name})' for name, of in small.bounds.items())} for a "
            f"small class, whose risks are {', '.join(f'{of.mean():.2f}' for of in small.risks.values())}; "
            f"{small.below} of {len(small.bounds) * len(seeds)} bounds are below the error on fresh examples.",
            "Of the class of these networks, with no training error, the bound is below 1 from "
            + ", ".join(f"{count:,} examples on ({name})" for name, count in looked.needed.items())
            + ".",
            f"On coin flips they are right on {looked.coins.mean():.1%} of the training examples: the Rademacher "
            f"complexity of the 0-1 loss is at least {looked.coins.mean() - 0.5:.2f}, and by its definition it cannot "
            "be above 0.5.",
        ],
    )


def picture(board: Board, title: str, more: str = "") -> Figure:
    """The board, a row each family."""
    panel = board.figure()
    return Figure.row([panel], title=title, caption=f"{panel.caption} {more}".strip())
