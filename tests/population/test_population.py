import copy

import pytest
import torch
from cases import CASE, CASES, Case, every, fingerprint
from torch import Tensor, nn

from thalweg.errors import StorageError, UsageError
from thalweg.population import Population

MLP = CASE["mlp"]


def _modules(case: Case, count: int = 3) -> list[nn.Module]:
    modules = [case.model() for _ in range(count)]
    for number, module in enumerate(modules):
        for buffer in module.buffers():
            buffer.add_(number)  # so that buffers differ between members
    return modules


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Tied(nn.Module):
    """An embedding whose weights are those of the output, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.embedding(inputs))


@pytest.mark.parametrize("kept", ["embedding.weight", "head.weight"])
def test_of_tied_weights_one_name_is_enough_and_two_values_are_refused(kept: str) -> None:
    population, module = Population.of([Tied()]), Tied()
    weight = module.embedding.weight.detach()
    assert torch.equal(population.load([{kept: weight}]).theta[0], weight.flatten())
    both = {"embedding.weight": weight, "head.weight": weight.clone()}
    assert torch.equal(population.load([both]).theta[0], weight.flatten())
    with pytest.raises(StorageError, match=r"two different tensors 'embedding.weight' and 'head.weight'"):
        population.load([both | {kept: weight + 1}])


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_names_with_a_prefix_are_said_to_have_one(prefix: str) -> None:
    population, state = Population.of([nn.Linear(2, 3)]), nn.Linear(2, 3).state_dict()
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()} | {"n_averaged": torch.tensor(3)}
    with pytest.raises(
        StorageError, match=f"All are there with '{prefix}' before their names: write {{name"
    ) as refused:
        population.load([wrapped])
    written = str(refused.value).rpartition("write ")[2].rstrip(".")
    assert eval(written, {"state": wrapped}).keys() == state.keys()


@every(CASES)
def test_modules_come_back_bit_for_bit_and_are_never_touched(case: Case) -> None:
    modules = _modules(case)
    before = [fingerprint(module) for module in modules]
    population = Population.of(modules)
    for member, module in enumerate(modules):
        assert _equal(population.module(member).state_dict(), module.state_dict())
        assert _equal(population.state_dict(member), module.state_dict())
    population.theta.zero_()
    population.module(0).load_state_dict(modules[1].state_dict())
    assert [fingerprint(module) for module in modules] == before


@every(CASES)
def test_state_dicts_round_trip_through_load(case: Case) -> None:
    modules = _modules(case)
    loaded = Population.of([case.model()]).load([module.state_dict() for module in modules])
    assert torch.equal(loaded.theta, Population.of(modules).theta)
    assert all(_equal(loaded.state_dict(i), module.state_dict()) for i, module in enumerate(modules))


def test_a_module_of_a_member_shares_nothing_and_keeps_its_ties() -> None:
    population = Population.of(_modules(CASE["tied"]))
    module = population.module(1)
    assert module.out.weight is module.embed.weight
    before = population.theta.clone()
    with torch.no_grad():
        module.embed.weight.add_(1)
    assert torch.equal(population.theta, before)
    frozen = Population.of(_modules(CASE["frozen"])).module(2)
    assert frozen.second.weight is frozen.first.weight
    assert not frozen.first.weight.requires_grad


def test_a_members_start_depends_on_its_seed_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    among = Population.initialize(MLP.model, [3, 5, 9])
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    alone = Population.initialize(MLP.model, [5])
    assert torch.equal(among.theta[1], alone.theta[0])
    assert len(torch.unique(among.theta[:, 0])) == 3


def test_frozen_parameters_and_statistics_are_each_members_own() -> None:
    population = Population.initialize(CASE["frozen"].model, [0, 1])
    assert list(population.buffers) == ["first.weight"]
    assert not torch.equal(population.buffers["first.weight"][0], population.buffers["first.weight"][1])
    assert torch.equal(population.module(1).second.weight, population.buffers["first.weight"][1])


def test_selection() -> None:
    population = Population.of(_modules(CASE["batchnorm"], 4)).with_mask(torch.arange(48) % 2 == 0)
    theta, means = population.theta, population.buffers["norm.running_mean"]
    for which, rows in ((1, [1]), (-1, [3]), (slice(1, 3), [1, 2]), ([3, 0, 0], [3, 0, 0]), (torch.tensor([2]), [2])):
        chosen = population[which]
        assert torch.equal(chosen.theta, theta[rows])
        assert torch.equal(chosen.buffers["norm.running_mean"], means[rows])
        assert torch.equal(chosen.mask, population.mask[rows])
        assert len(chosen) == len(rows)
    with pytest.raises(UsageError, match=r"no member 4; the population has 4 \(0 to 3\)"):
        population[4]


def test_a_copy_shares_no_memory() -> None:
    population = Population.of(_modules(CASE["batchnorm"]))
    twin = population.copy()
    twin.theta.zero_()
    twin.buffers["norm.running_mean"].fill_(9)
    assert population.theta.abs().sum() > 0
    assert float(population.buffers["norm.running_mean"].max()) == 2


def test_other_points_of_one_member() -> None:
    population = Population.of(_modules(CASE["batchnorm"]))
    points = torch.randn(5, 48)
    moved = population[1].with_theta(points)
    assert torch.equal(moved.theta, points)
    assert torch.equal(moved.buffers["norm.running_mean"], torch.ones(5, 3))
    assert torch.equal(population.with_theta(points[:3]).buffers["norm.running_mean"][2], torch.full((3,), 2.0))
    with pytest.raises(UsageError, match=r"theta must be \(members, 48\), got \(5, 47\)"):
        population.with_theta(points[:, 1:])
    with pytest.raises(UsageError, match=r"theta must be \(members, 48\), got \(48,\)"):
        population.with_theta(points[0])
    with pytest.raises(UsageError, match="5 rows of theta for a population of 3; select one member first"):
        population.with_theta(points)


def test_masks() -> None:
    population = Population.of(_modules(MLP))
    columns = population.layout.parameters
    rows = torch.rand(3, columns) < 0.5
    masked = population.with_mask(rows)
    assert torch.equal(masked.theta, torch.where(rows, population.theta, torch.zeros(())))
    assert torch.equal(population.with_mask(rows[0]).mask, rows[0].expand(3, -1))
    for wrong in (rows[:2], rows[:, 1:], rows.float(), rows[None], torch.ones(1, 1, dtype=torch.bool)):
        with pytest.raises(UsageError, match=rf"A mask is boolean of shape \({columns},\) or \(3, {columns}\)"):
            population.with_mask(wrong)


def test_every_fault_of_a_state_dict_is_listed() -> None:
    population = Population.of([MLP.model()])
    good = MLP.model().state_dict()
    bad = copy.copy(good)
    del bad["0.bias"]
    bad["4.weight"] = torch.zeros(1)
    bad["2.weight"] = torch.zeros(5, 3)
    bad["2.bias"] = torch.zeros(4)
    with pytest.raises(StorageError) as caught:
        population.load([good, bad])
    assert str(caught.value) == (
        "State dict 1 does not fit the model: missing '0.bias'; unexpected '4.weight'; "
        "'2.weight' is (5, 3) instead of (3, 5); '2.bias' is (4,) instead of (3,)."
    )


def test_members_have_one_architecture() -> None:
    with pytest.raises(UsageError, match=r"'0.weight' \(5, 4\) against 'weight' \(3, 4\)"):
        Population.of([MLP.model(), nn.Linear(4, 3)])
    with pytest.raises(UsageError, match="at least one module; got an empty list"):
        Population.of([])


def test_another_dtype() -> None:
    population = Population.of(_modules(CASE["batchnorm"])).to(dtype=torch.float64)
    assert population.theta.dtype == population.buffers["norm.running_var"].dtype == torch.float64
    assert population.buffers["norm.num_batches_tracked"].dtype == torch.int64
    assert population.module(0).conv.weight.dtype == torch.float64
