"""Critical sparsities, maps of rewinding, masks on untrained weights, and one's own model."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import critical_sparsity, prunable, rewinding_map, search, supermask

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=40, batch_size=50, evaluate=1)


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=300, test=200))


def test_the_bisection_brackets_what_matches(problem: tw.Problem) -> None:
    found = critical_sparsity(problem, RECIPE, seeds=4, margin=0.05, tolerance=1.5)
    densities, matching = found.reading.coordinate("density"), found["matching"]
    assert found.matching == 1 - min([1.0, *densities[matching]])
    assert found.failing == 1 - max(densities[~matching])
    assert (1 - found.matching) / (1 - found.failing) <= 1.5
    assert matching.tolist() == sorted(matching.tolist(), reverse=True)
    assert found.figure().panels[0].marks


@pytest.mark.parametrize(("margin", "wanted"), [(1.0, (0.99, 1.0)), (-1.0, (0.0, None))])
def test_all_or_nothing_matches(problem: tw.Problem, margin: float, wanted: tuple[float, float | None]) -> None:
    found = critical_sparsity(problem, RECIPE, seeds=3, margin=margin, tolerance=3)
    assert found.matching == pytest.approx(wanted[0])
    if wanted[1] is None:
        assert 0 < found.failing <= 1 - 1 / 3
    else:
        assert found.failing == wanted[1]


def test_a_map_has_the_chains_that_single_searches_have(problem: tw.Problem) -> None:
    found = rewinding_map(problem, RECIPE, (0, 0.25), seeds=2, rounds=2, keep=0.5, plan="looped", margin=100.0)
    for number, k in enumerate((0, 10)):
        alone = search(problem, RECIPE, seeds=2, rounds=2, keep=0.5, rewind_to=k, arms=("ticket",), plan="looped")
        assert (found["test_accuracy"][number] == alone["test_accuracy"][0]).all()
        assert all(torch.equal(a, b["ticket"]) for a, b in zip(found.masks[k], alone.masks, strict=True))
    assert found["matching sparsity"].tolist() == pytest.approx([0.75, 0.75])
    assert found.better(10, 1).n == 2
    assert len(found.figure().panels[0].marks) == 3
    with pytest.raises(UsageError, match="Rewinding steps"):
        found.better(3, 1)


def test_controls_of_a_map_are_the_trainings_they_stand_for(problem: tw.Problem) -> None:
    both = {"shuffled": (2,), "earliest mask": (2,)}
    found = rewinding_map(problem, RECIPE, (0, 0.25), seeds=2, rounds=2, keep=0.5, controls=both, plan="looped")
    alone = rewinding_map(problem, RECIPE, (0, 0.25), seeds=2, rounds=2, keep=0.5, plan="looped")
    assert (found["test_accuracy"] == alone["test_accuracy"]).all()
    assert np.isnan(found["shuffled"][:, 0]).all()
    assert np.isnan(found["earliest mask"][:, 0]).all()
    start, (of_zero, of_ten) = found.dense.at(10), (found.masks[step][1] for step in (0, 10))
    entries = tw.tickets.Policy().entries(problem.layout)
    for name, mask in (("shuffled", tw.tickets.shuffled(of_ten, entries, [0, 1])), ("earliest mask", of_zero)):
        run = tw.train(problem, RECIPE, 2, start=start, mask=mask, paired=True, plan="looped", progress=None)
        wanted = run.history.final("test_accuracy")
        assert found[name][1, 1].tolist() == wanted.tolist()
        assert found.gains(10, 2, name) == pytest.approx(found["test_accuracy"][1, 1] - wanted)
    assert (found["earliest mask"][0, 1] == found["test_accuracy"][0, 1]).all()
    assert found.gains(10, 2, 0) == pytest.approx(found["test_accuracy"][1, 1] - found["test_accuracy"][0, 1])
    assert len(found.figure().panels[0].marks) == 5
    with pytest.raises(UsageError, match="control"):
        alone.gains(10, 2, "shuffled")
    with pytest.raises(UsageError, match="A control of rewinding_map"):
        rewinding_map(problem, RECIPE, controls=("reinit",))


def test_a_map_of_losses_is_better_where_they_are_smaller(problem: tw.Problem) -> None:
    found = rewinding_map(problem, RECIPE, (0,), seeds=2, rounds=1, keep=0.5, metric="test_loss", margin=0.1)
    assert found.metric == "test_loss"
    assert found.gains(0, 1) == pytest.approx(found["dense"] - found["test_loss"][0, 0])


def test_nothing_matches_at_a_margin_that_nothing_meets(problem: tw.Problem) -> None:
    found = rewinding_map(problem, RECIPE, (0,), seeds=2, rounds=1, keep=0.5, margin=-1.0)
    assert found["matching sparsity"].tolist() == [0.0]


def test_a_learned_mask_leaves_the_weights_alone(problem: tw.Problem) -> None:
    population = problem.initialize(2)
    found = supermask(problem, population, 0.5, seeds=[0, 1], steps=60)
    assert torch.equal(found.population.theta, population.theta * found.mask)
    columns = tw.tickets.Policy().columns(problem.layout)
    assert found.mask[:, columns].sum(1).tolist() == [592] * 2
    assert (found["learned loss"] < found["random loss"] - 0.1).all()
    alone = supermask(problem, population[1], 0.5, seeds=[1], steps=60)
    assert torch.equal(alone.mask[0], found.mask[1])


def test_what_is_free_is_read_off_the_curve(problem: tw.Problem) -> None:
    run = tw.train(problem, RECIPE, 3, progress=None)
    found = prunable(problem, run, densities=(0.9, 0.5, 0.02), worth=0.02)
    for name, of in found.intervals.items():
        for density, one in zip((0.9, 0.5, 0.02), of, strict=True):
            if not np.isfinite(one.estimate):
                assert name != "by layer"
                continue
            allocation = {"by layer": tw.tickets.ByLayer(), "global": tw.tickets.Global()}.get(name, tw.tickets.Units())
            mask = tw.tickets.prune(problem, run.final.theta.abs(), density, allocation=allocation)
            accuracy = [
                tw.evaluate(problem, one, on="test")["accuracy"] for one in (run.final.with_mask(mask), run.final)
            ]
            assert one.estimate == pytest.approx(float((accuracy[0] - accuracy[1]).mean()), abs=1e-9)
    for of, free in zip(found.intervals.values(), found["free sparsity"], strict=True):
        good = [one.low > -0.02 for one in of]
        assert free == pytest.approx([0.0, 0.1, 0.5, 0.98][good.index(False)])
    assert "ticket search" in " ".join(found.reading.notes)
    assert found.figure().panels[0].marks


def test_weights_of_zero_are_free() -> None:
    """A planted network of which half the weights are zero loses nothing with them."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    population = problem.initialize(1)
    weights = problem.layout["output.weight"].columns
    theta = population.theta.clone()
    theta[:, weights][:, ::2] = 0
    found = prunable(problem, population.with_theta(theta), densities=(0.75, 0.5, 0.05))
    assert found["better than dense"][:, :2].tolist() == [[0, 0], [0, 0]]
    assert (found["free sparsity"] >= 0.5).all()
    with pytest.raises(UsageError, match="between 0 and 1"):
        prunable(problem, population, densities=(1.0,))


def test_free_units_are_cut_out_and_timed() -> None:
    """Of planted units that nothing reads three quarters are free, and the network without them is timed."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    population = problem.initialize(2)
    theta = population.theta.clone()
    views = problem.layout.views(theta)
    for name in ("hidden1.weight", "hidden1.bias"):
        views[name][:, 8:] = 0
    found = prunable(problem, population.with_theta(theta), densities=(0.5, 0.25, 0.1))
    assert found.reading.coordinate("allocation").tolist() == ["by layer", "global", "units"]
    assert found["free sparsity"][2] >= 0.75
    assert found["latency"].shape == (2, 2)
    assert (found["latency"] > 0).all()
    words = " ".join(found.reading.notes)
    assert "of the units are free" in words
    assert f"of {problem.layout.parameters:,} parameters are left" in words
    assert "ms instead of" in words


class Branching(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = torch.nn.Linear(64, 16), torch.nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.out(h.relu() if float(h.detach().sum()) > 1e9 else h.tanh())


def test_what_cannot_be_cut_out_is_said_and_the_rest_is_there() -> None:
    data = tw.data.digits().subset(train=100, test=50)
    problem = tw.Problem(Branching, data)
    found = prunable(problem, problem.initialize(1), densities=(0.5,), plan="looped")
    assert found.reading.coordinate("allocation").tolist() == ["by layer", "global"]
    assert np.isfinite(found["better than dense"]).all()
    assert "Units cannot be cut out: " in " ".join(found.reading.notes)
    assert "cannot be traced" in " ".join(found.reading.notes)
