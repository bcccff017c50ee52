"""Planted permutations are recovered: of every architecture that is read, 100 of 100 of the common ones."""

import pytest
import torch
from connectivity.alignment.planted import recovered, shuffled
from population.architectures import ARCHITECTURES

import thalweg as tw
from thalweg.connectivity import align
from thalweg.connectivity.alignment.matching import matched
from thalweg.connectivity.alignment.moving import reordered
from thalweg.connectivity.alignment.nests import nests_of
from thalweg.connectivity.alignment.weights import compared
from thalweg.population import Population, Problem, Structure
from thalweg.randomness import generator

COPIES, FEW = 100, 5
UNREAD = ("ordered", "lstm", "gru")  # no units of these may be exchanged, as far as is known


def images(examples: int = 48) -> tw.data.Data:
    return tw.data.digits(image=True).subset(train=examples, test=10)


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randint(7, (48, 6), generator=generator(0, "tokens"))
    return drawn, drawn.roll(-1, 1)


PROBLEMS = {
    "mlp": lambda: Problem(lambda: tw.nets.mlp(64, 16, 16, 16, 10), tw.data.digits().subset(train=200, test=10)),
    "convnet": lambda: Problem(lambda: tw.nets.convnet((4, 8)), images(100)),
    "resnet": lambda: Problem(lambda: tw.nets.resnet(4), images()),
    "transformer": lambda: Problem(lambda: tw.nets.transformer(7, 6, 8, heads=2, depth=1), tokens()),
}
GROUPS = {
    "mlp": ["units"],
    "convnet": ["channels"],
    "resnet": ["stream", "channels"],
    "transformer": ["stream", "heads", "query-key", "value", "units"],
}
every = pytest.mark.parametrize("name", PROBLEMS)


@pytest.fixture(scope="module")
def problems() -> dict[str, Problem]:
    return {name: make() for name, make in PROBLEMS.items()}


def reference_of(problem: Problem) -> Population:
    """A network whose norms, biases and running statistics differ from unit to unit, as after training."""
    one, draw = problem.initialize([3]), generator(0, "reference")
    buffers = {
        name: buffer + 0.1 * torch.rand(buffer.shape, generator=draw) if buffer.is_floating_point() else buffer
        for name, buffer in one.buffers.items()
    }
    theta = one.theta + 0.1 * torch.randn(one.theta.shape, generator=draw)
    return Population(theta, buffers, one.layout, one.template)


@every
@pytest.mark.parametrize("method", ["weights", "activations"])
def test_of_100_all_are_recovered(problems: dict[str, Problem], name: str, method: str) -> None:
    problem, groups = problems[name], problems[name].structure.groups
    assert {one.kind for one in groups} >= {*GROUPS[name]}
    reference = reference_of(problem)
    members, _ = shuffled(reference, groups, COPIES)
    assert recovered(members, reference) == 0
    found = align(problem, reference, members, method)
    assert recovered(found.population, reference) == COPIES
    assert found.converged
    assert found["similarity after"] == pytest.approx(1)
    assert found["moved"].mean() > 0.3


@every
def test_noise_does_not_hide_them(problems: dict[str, Problem], name: str) -> None:
    problem, reference = problems[name], reference_of(problems[name])
    members, _ = shuffled(reference, problem.structure.groups, COPIES)
    noise = 0.05 * torch.randn(members.theta.shape, generator=generator(1, "noise")) * reference.theta.std()
    found = align(problem, reference, members.with_theta(members.theta + noise))
    off = (found.population.theta - reference.theta).norm(dim=1)
    assert (off - noise.norm(dim=1)).abs().max() < 1e-3 * noise.norm(dim=1).min()


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in UNREAD])
def test_of_every_architecture_that_is_read(name: str) -> None:
    one = ARCHITECTURES[name]
    structure, reference = Structure.of(one.module(), one.inputs), Population.of([one.module()])
    nests = nests_of(structure.groups)
    members, _ = shuffled(reference, structure.groups, FEW)
    found = matched(nests, compared(reference), compared(members), seed=0)
    assert recovered(reordered(members, nests, found.orders), reference) == FEW


def test_from_the_members_as_they_are_alone_transformers_are_not_all_recovered() -> None:
    one = ARCHITECTURES["transformer"]
    structure, reference = Structure.of(one.module(), one.inputs), Population.of([one.module()])
    nests = nests_of(structure.groups)
    members, _ = shuffled(reference, structure.groups, 20)
    asis = {group.name: torch.arange(group.units).repeat(20, 1) for nest in nests for group in nest}
    found = matched(nests, compared(reference), compared(members), seed=0, start=asis)
    assert recovered(reordered(members, nests, found.orders), reference) < 15
    assert found.converged.all()


def test_a_network_aligned_to_itself_stays(problems: dict[str, Problem]) -> None:
    for problem in problems.values():
        population = problem.initialize(2)
        for method in ("weights", "activations"):
            found = align(problem, population, population, method)
            for name, order in found.permutations.items():
                assert (order == torch.arange(order.shape[1])).all(), name
            assert found.population.theta.equal(population.theta)
            assert (found["moved"] == 0).all()


def test_permutations_undo_what_was_planted() -> None:
    problem = PROBLEMS["mlp"]()
    reference = problem.initialize([0])
    members, planted = shuffled(reference, problem.structure.groups, 3)
    found = align(problem, reference, members)
    for name, order in found.permutations.items():
        back = planted[name].gather(1, order)
        assert (back == torch.arange(order.shape[1])).all()


def test_masks_and_integer_buffers_move_along() -> None:
    class Coded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
            self.register_buffer("code", torch.arange(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.relu(self.hidden(x)) * self.code)

    x = torch.randn(20, 4, generator=generator(0, "x"))
    problem = Problem(Coded, (x, torch.arange(20) % 3))
    mask = torch.rand(problem.layout.parameters, generator=generator(0, "mask")) < 0.7
    reference = problem.initialize([0]).with_mask(mask)
    members, planted = shuffled(reference, problem.structure.groups, 4)
    found = align(problem, reference, members).population
    assert not members.buffers["code"].equal(reference.buffers["code"].expand(4, 6))
    assert found.buffers["code"].dtype == torch.int64
    assert recovered(found, reference) == 4
    assert found.mask is not None
    assert reference.mask is not None
    assert found.mask.equal(reference.mask.expand(4, -1))
    assert [*planted] == ["hidden"]
