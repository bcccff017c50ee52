"""Values of a traced model that is run again, and where units lie in them."""

import pytest
import torch
from population.architectures import ARCHITECTURES
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.population import Population, Structure
from thalweg.population.binding import call
from thalweg.population.structure.replay import Replay
from thalweg.randomness import generator

every = pytest.mark.parametrize("name", ARCHITECTURES)


def tensors(population: Population) -> dict[str, Tensor]:
    found = {**population.layout.views(population.theta), **population.buffers}
    return {name: tensor[0].clone() for name, tensor in found.items()}


@every
def test_a_replay_gives_what_the_model_gives(name: str) -> None:
    one = ARCHITECTURES[name]
    structure, other = Structure.of(one.module(), one.inputs), one.module(seed=5)
    values = Replay(one.module(), one.inputs).values(tensors(Population.of([other])), one.inputs, structure.outputs)
    with torch.no_grad():
        wanted = [leaf for leaf in tree_leaves(call(other, one.inputs)) if isinstance(leaf, Tensor)]
    got = [values[output] for output in structure.outputs]
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@every
def test_units_are_where_they_are_said_to_be(name: str) -> None:
    one = ARCHITECTURES[name]
    structure, population = Structure.of(one.module(), one.inputs), Population.of([one.module()])
    replay, places = Replay(one.module(), one.inputs), {}
    for value in {operation.name for operation in structure.operations}:
        for place in structure.places(value):
            places.setdefault(place.group, []).append((value, place))
    assert {*places} == {group.name for group in structure.groups}
    wanted = {value for of in places.values() for value, _ in of}
    before = replay.values(tensors(population), one.inputs, wanted)
    for number, group in enumerate(structure.groups):
        order = torch.randperm(group.units, generator=generator(number, "order"))
        after = replay.values(tensors(structure.permuted(population, group, order)), one.inputs, wanted)
        for value, place in places[group.name]:
            if value in before:
                mine, theirs = place.seen(after[value]), place.seen(before[value])
                torch.testing.assert_close(mine, theirs[order], rtol=1e-9, atol=1e-9)


def test_blocks_without_gradients_are_run_too() -> None:
    class Blocked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                h = torch.relu(self.first(x))
            return self.out(h)

    net, x = Blocked(), torch.ones(6, 4)
    with torch.enable_grad():
        values = Replay(net, x).values(dict(net.named_parameters()), x, ["relu"])
    torch.testing.assert_close(values["relu"], torch.relu(net.first(x)).detach())
