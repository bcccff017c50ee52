"""Models as others write them: what every instrument does with what libraries for the same purpose get wrong."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import StraightThrough
from thalweg.errors import UsageError
from thalweg.population import Population, Problem
from thalweg.randomness import generator

RECIPE = tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=8)
Instrument = Callable[[Problem, Population], Any]  # of a problem and two networks
matching = StraightThrough(steps=2)
BETWEEN: dict[str, Instrument] = {
    "barrier": lambda problem, pair: tw.connectivity.barrier(problem, pair[0], pair[1], points=3, resamples=0),
    "bezier": lambda problem, pair: tw.connectivity.bezier(problem, pair[0], pair[1], RECIPE, points=3),
    "polygonal": lambda problem, pair: tw.connectivity.polygonal(problem, pair[0], pair[1], RECIPE, points=3),
    "string": lambda problem, pair: tw.connectivity.string(problem, pair[0], pair[1], RECIPE, pivots=1),
    "auto_neb": lambda problem, pair: tw.connectivity.auto_neb(problem, pair[0], pair[1], [RECIPE], pivots=1),
    "simplex": lambda problem, pair: tw.connectivity.simplex(problem, [pair[0], pair[1]], RECIPE, points=4),
    "spanning_tree": lambda problem, pair: tw.connectivity.spanning_tree(problem, pair, rounds=0, points=3),
    "averaged": lambda problem, pair: tw.connectivity.averaged(problem, pair, on="train", resamples=39),
    "straight-through": lambda problem, pair: tw.connectivity.align(
        problem, pair[0], pair[1], StraightThrough(steps=2)
    ),
}
every = pytest.mark.parametrize("instrument", BETWEEN.values(), ids=BETWEEN)


def data() -> tw.data.Data:
    draw = generator(0, "foreign")
    parts = [tw.data.Examples(torch.randn(16, 4, generator=draw), torch.arange(16) % 3) for _ in range(2)]
    return tw.data.Data(*parts, name="tiny")


class Kept(nn.Module):
    """A layer with a buffer of its own, as an average of inputs or a count of steps."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("kept", value)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(torch.relu(self.first(inputs - self.kept)))


@every
@pytest.mark.parametrize(("one", "other"), [(0.0, 1.0), (0, 1)])
def test_buffers_that_nothing_renews_are_never_the_first_networks(
    instrument: Instrument, one: float, other: float
) -> None:
    problem = Problem(lambda: Kept(torch.tensor(one)), data())
    pair = problem.population([Kept(torch.tensor(one)), Kept(torch.tensor(other))])
    with pytest.raises(UsageError, match=r"'kept' .*write replace|'kept' .*, or to take the first's"):
        instrument(problem, pair)
    instrument(problem, problem.population([Kept(torch.tensor(one)), Kept(torch.tensor(one))]))


def test_what_to_write_for_buffers_is_what_each_knows() -> None:
    problem = Problem(lambda: Kept(torch.tensor(0.0)), data())
    pair = problem.population([Kept(torch.tensor(0.0)), Kept(torch.tensor(1.0))])
    for name, instrument in BETWEEN.items():
        with pytest.raises(UsageError) as refused:
            instrument(problem, pair)
        said = {"averaged": 'write statistics="keep", or to', "straight-through": "renew it; to"}
        assert said.get(name, 'write statistics="interpolate", or to') in str(refused.value)
    tw.connectivity.averaged(problem, pair, on="train", statistics="keep", resamples=39)
    tw.connectivity.string(problem, pair[0], pair[1], RECIPE, pivots=1, statistics="interpolate")
