"""Which layer is the first and which the last, where modules are registered in another order than they are called."""

import pytest
import torch

import thalweg as tw
from thalweg.tickets import Policy, rewinding_map, search, transfer
from thalweg.tickets.layer_order import LayerOrder

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=4, batch_size=50, evaluate=1)


class HeadFirst(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.inp, self.middle = torch.nn.Linear(12, 10), torch.nn.Linear(64, 12), torch.nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.middle(self.inp(x).relu()).relu())


class Untraceable(HeadFirst):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.inp(x)
        return self.head(self.middle(h.relu() if float(h.detach().sum()) > 1e9 else h.tanh()))


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(HeadFirst, tw.data.digits().subset(train=100, test=50))


def test_the_order_is_that_of_calls(problem: tw.Problem) -> None:
    entries = Policy().entries(problem.layout)
    order = LayerOrder.of(problem, entries)
    assert [entry.name for entry in order.entries] == ["inp.weight", "middle.weight", "head.weight"]
    also = Policy(also=("inp.bias",)).entries(problem.layout)
    assert LayerOrder.of(problem, also).first.name == "inp.weight"
    blind = LayerOrder.of(tw.Problem(Untraceable, tw.data.digits().subset(train=100, test=50)), entries)
    assert (blind.traced, blind.first.name) == (False, "head.weight")


def test_the_first_layer_is_shuffled_and_more_is_kept_of_the_last(problem: tw.Problem) -> None:
    found = search(problem, RECIPE, seeds=2, rounds=1, arms=("first layer shuffled",), progress=None)
    ticket, other = (problem.layout.views(found.masks[0][name]) for name in ("ticket", "first layer shuffled"))
    changed = [name for name in ticket if not torch.equal(ticket[name], other[name])]
    assert changed == ["inp.weight"]
    share = {name: float(ticket[name].double().mean()) for name in ("head.weight", "inp.weight", "middle.weight")}
    assert share == pytest.approx({"head.weight": 0.9, "inp.weight": 0.8, "middle.weight": 0.8}, abs=0.01)
    notes = " ".join(found.reading.notes)
    assert "first layer that is shuffled is inp.weight" in notes
    assert "Of head.weight, taken for the output layer" in notes
    mapped = rewinding_map(problem, RECIPE, (0,), seeds=2, rounds=1, progress=None)
    assert torch.equal(mapped.masks[0][0], found.masks[0]["ticket"])
    moved = transfer(found, {"same": problem}, level=1, progress=None)
    assert "first layer that is shuffled is inp.weight" in " ".join(moved.reading.notes)


def test_which_layer_was_taken_is_said_where_the_first_may_not_be_pruned(problem: tw.Problem) -> None:
    policy = Policy(never=("inp.weight",))
    found = search(
        problem, RECIPE, seeds=1, rounds=1, keep=0.5, policy=policy, arms=("first layer shuffled",), progress=None
    )
    assert "first layer that is shuffled is middle.weight" in " ".join(found.reading.notes)


def test_shares_of_ordinary_networks_are_as_they_were() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 12, 10), tw.data.digits().subset(train=100, test=50))
    found = search(problem, RECIPE, seeds=1, rounds=2, arms="ticket", progress=None)
    views = problem.layout.views(found.masks[1]["ticket"])
    assert [int(views[name].sum()) for name in ("hidden1.weight", "output.weight")] == [491, 97]
