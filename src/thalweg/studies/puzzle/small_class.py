"""What bounds should not be vacuous on: a network of 26 parameters, and one of 100 rules, with many examples.

The design set 50,000 and 1,000 examples, and a line of 0.5, the error of a guess of two classes, for covers and VC
dimensions alike. They stay where a bound turns out to be above the line. VC is taken with a dimension that networks of
ReLU have at most: with the number of parameters as dimension it would be smaller, and no bound.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import nets, optim
from thalweg.data import Data, Examples, pooled
from thalweg.generalization import bounds
from thalweg.generalization.bounds import Board
from thalweg.population import Problem
from thalweg.randomness import generator
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

Array = NDArray[np.float64]
WIDTHS = (5, 3, 2)
EXAMPLES, FRESH = 50_000, 20_000
RULES, FEW = 100, 1_000  # examples by which one of the rules is chosen
CHANGED, DELTA = 0.1, 0.05
FAMILIES = ("cover of the parameters", "VC, ReLU networks")
FINITE = f"finite class of {RULES} rules"
RECIPE = Recipe(optim.Adam(0.02), 400, 500, evaluate=1)


@dataclass(frozen=True, eq=False)
class SmallClass:
    """What the bounds of a small class are.

    Args:
        boards: of the small network, one a seed.
        bounds: of every family: (seeds,).
        risks: the error on fresh examples of what each is about: (seeds,).
    """

    boards: list[Board]
    bounds: dict[str, Array]
    risks: dict[str, Array]

    @property
    def below(self) -> int:
        """How many bounds of all are below the error on fresh examples."""
        return sum(int((self.bounds[name] < self.risks[name]).sum()) for name in self.bounds)


def asked(seed: int) -> tuple[Examples, Examples]:
    """Answers of a random network of the same architecture, to train on and fresh ones; about half are yes."""
    draw = generator(seed, "small class")
    x = 2 * torch.rand(EXAMPLES + FRESH, WIDTHS[0], generator=draw) - 1
    first, second = torch.randn(WIDTHS[1], WIDTHS[0], generator=draw), torch.randn(WIDTHS[1], generator=draw)
    output = torch.relu(x @ first.T) @ second
    y = (output > output.median()).long()
    return Examples(x[:EXAMPLES], y[:EXAMPLES]), Examples(x[EXAMPLES:], y[EXAMPLES:])


def of_rules(seed: int, train: Examples, fresh: Examples) -> tuple[float, float]:
    """Of 100 linear rules that were drawn before the data, the one that errs least on 1,000: its bound and risk.

    The answers are those of one of them, and a tenth of them are changed.
    """
    draw = generator(seed, "rules")
    rules = torch.randn(RULES, WIDTHS[0], generator=draw)

    def wrong(examples: Examples) -> Tensor:
        said = torch.as_tensor(examples.inputs) @ rules.T > 0
        changed = torch.rand(len(said), generator=draw) < CHANGED
        return (said != (said[:, 0] ^ changed)[:, None]).double().mean(0)

    errors = wrong(train.select(torch.arange(FEW)))
    best = int(errors.argmin())
    bound = bounds.finite_class(float(errors[best]), FEW, np.log(RULES), DELTA)
    return float(bound), float(wrong(fresh)[best])


def small_class(lab: Lab, seeds: list[int]) -> SmallClass:
    """Train the small network on 50,000 examples of each seed, and bound it by the code that bounds large ones."""
    both = [asked(seed) for seed in seeds]
    pool, table = pooled([train for train, _ in both])
    model = partial(nets.mlp, *WIDTHS)
    whole = Problem(model, Data(pool, classes=2), device=lab.device)
    final = lab.train(whole, RECIPE, seeds, "small class", examples=table).final
    found: dict[str, list[float]] = {name: [] for name in (*FAMILIES, FINITE)}
    risks: dict[str, list[float]] = {name: [] for name in found}
    boards: list[Board] = []
    for member, (seed, (train, fresh)) in enumerate(zip(seeds, both, strict=True)):
        board = bounds.board(whole, final[[member]], on=train, held_out=fresh, delta=DELTA, progress=None)
        boards.append(board)
        for name in FAMILIES:
            found[name].append(float(board.row(name).bound[0]))
            risks[name].append(float(board["held-out error"][0]))
        bound, risk = of_rules(seed, train, fresh)
        found[FINITE].append(bound)
        risks[FINITE].append(risk)
    return SmallClass(boards, *({name: np.array(of) for name, of in each.items()} for each in (found, risks)))
