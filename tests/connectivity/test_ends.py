"""Between networks that differ in a buffer of their own nothing is measured, whichever instrument is asked."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg import connectivity
from thalweg.errors import UsageError
from thalweg.population import Population

RECIPE = tw.Recipe(tw.optim.SGD(0.1), 1, 10)
Instrument = Callable[[tw.Problem, Population, str], object]
INSTRUMENTS: dict[str, Instrument] = {
    "auto_neb": lambda problem, nets, how: connectivity.auto_neb(
        problem, nets[0], nets[1], [RECIPE], pivots=1, between=1, statistics=how
    ),
    "averaged": lambda problem, nets, how: connectivity.averaged(problem, nets, statistics=how, resamples=39),
    "barrier": lambda problem, nets, how: connectivity.barrier(
        problem, nets[0], nets[1], points=3, resamples=39, statistics=how
    ),
    "between": lambda problem, nets, how: connectivity.between(
        problem, nets, curve=False, points=3, resamples=39, statistics=how
    ),
    "bezier": lambda problem, nets, how: connectivity.bezier(
        problem, nets[0], nets[1], RECIPE, points=3, statistics=how
    ),
    "plane": lambda problem, nets, how: connectivity.plane(
        problem, nets[0], nets[1], nets[2], resolution=2, statistics=how
    ),
    "polygonal": lambda problem, nets, how: connectivity.polygonal(
        problem, nets[0], nets[1], RECIPE, points=3, statistics=how
    ),
    "simplex": lambda problem, nets, how: connectivity.simplex(problem, list(nets), RECIPE, statistics=how),
    "spanning_tree": lambda problem, nets, how: connectivity.spanning_tree(
        problem, nets, rounds=0, points=3, statistics=how
    ),
    "string": lambda problem, nets, how: connectivity.string(
        problem, nets[0], nets[1], RECIPE, pivots=1, between=1, statistics=how
    ),
}


class _Shifted(nn.Module):
    """A layer with a buffer of its own, which its outputs depend on."""

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("shift", shift)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs) + self.shift * torch.arange(10)


def _networks(*shifts: Tensor) -> tuple[tw.Problem, Population]:
    problem = tw.Problem(lambda: _Shifted(shifts[0]), tw.data.digits().subset(train=50, test=20))
    return problem, problem.population([_Shifted(shift) for shift in shifts])


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_buffers_that_differ_are_refused(name: str) -> None:
    whole, nets = _networks(*torch.arange(3))
    with pytest.raises(UsageError, match=rf"'shift' holds whole numbers that differ.*, and {name} has.*write replace"):
        INSTRUMENTS[name](whole, nets, "recompute")
    floating, nets = _networks(*torch.arange(3.0))
    with pytest.raises(UsageError, match=r"'shift' differs between the ends.*write"):
        INSTRUMENTS[name](floating, nets, "recompute")


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_buffers_that_are_the_same_are_not(name: str) -> None:
    problem, nets = _networks(*torch.ones(3))
    INSTRUMENTS[name](problem, nets, "recompute")


@pytest.mark.parametrize("name", ["string", "auto_neb"])
def test_both_ends_of_a_string_have_their_own_loss(name: str) -> None:
    problem, nets = _networks(*torch.arange(3.0))
    found = INSTRUMENTS[name](problem, nets, "interpolate")
    wanted = tw.evaluate(problem, nets[:2], "train")["loss"]
    assert found["loss"][0, 0, [0, -1]].tolist() == pytest.approx(wanted.tolist(), rel=1e-5)
