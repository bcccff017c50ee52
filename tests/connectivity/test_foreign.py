"""Models as others write them: what every instrument does with what libraries for the same purpose get wrong."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pytest
import torch
from connectivity.alignment.planted import recovered, shuffled
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import StraightThrough
from thalweg.connectivity.alignment.specification import groups_of
from thalweg.errors import ModelError, UsageError
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
        said = {"averaged": 'write statistics="keep", or to', "straight-through": "as it is; to"}
        assert said.get(name, 'write statistics="interpolate", or to') in str(refused.value)
    tw.connectivity.averaged(problem, pair, on="train", statistics="keep", resamples=39)
    tw.connectivity.string(problem, pair[0], pair[1], RECIPE, pivots=1, statistics="interpolate")


class Bounded(nn.Module):
    """An embedding whose rows are made shorter where they are looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden, self.out = nn.Embedding(7, 4, max_norm=9.0), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(self.embedding(inputs).mean(1))))


class Clamped(nn.Module):
    """A layer whose weights are kept small when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            self.hidden.weight.clamp_(-0.01, 0.01)
        return self.out(torch.relu(self.hidden(inputs)))


def tokens() -> tw.data.Data:
    draw = generator(0, "tokens")
    parts = [tw.data.Examples(torch.randint(7, (16, 5), generator=draw), torch.arange(16) % 3) for _ in range(2)]
    return tw.data.Data(*parts, name="tokens")


def partly_frozen() -> nn.Module:
    """A frozen layer between two that are trained, and a frozen scale of 1, which is the same for every unit."""
    model = nn.Sequential(
        nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 3)
    )
    model[2].requires_grad_(False)
    model[5].requires_grad_(False)
    with torch.no_grad():
        model[2].weight.copy_(torch.randn(5, 6, generator=generator(0, "frozen")))
        model[2].bias.copy_(torch.randn(5, generator=generator(1, "frozen")))
    return model


@pytest.mark.parametrize("method", ["weights", "activations", matching], ids=str)
def test_units_that_shared_frozen_parameters_know_stay(method: str | StraightThrough) -> None:
    problem = Problem(partly_frozen, data())
    pair = problem.initialize(2)
    swapped = pair.theta.clone()
    swapped[1, :24] = swapped[0, :24].view(6, 4).flip(0).flatten()  # of weights alone, layer 0 would be turned round
    pair = pair.with_theta(swapped)
    found = tw.connectivity.align(problem, pair[0], pair[1], method)
    assert list(found.permutations) == ["4"]
    assert any("'0', '2' stay in their order, by which the frozen" in note for note in found.reading.notes)
    tw.connectivity.barrier(problem, pair[0], found.population, points=3, resamples=0)
    together = tw.connectivity.align_together(problem, pair)
    assert list(together.permutations) == ["4"]
    with pytest.raises(ModelError, match="every group are told apart by frozen parameters"):
        tw.connectivity.align(problem, pair[0], pair[1], groups={"0": [("0.weight", 0), ("2.weight", 1)]})


class Recurrent(nn.Module):
    """The last state of a recurrent layer, read by a linear one."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cell, self.out = kind(2, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(self.cell(inputs.view(len(inputs), 2, 2))[0][:, -1])


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_recurrent_layers_are_aligned_by_hand(kind: type[nn.LSTM] | type[nn.GRU], gates: int) -> None:
    problem = Problem(lambda: Recurrent(kind), data())
    one, other = problem.initialize([0]), problem.initialize([1])
    names = [f"cell.{name}" for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
    read = [("cell.weight_hh_l0", 1), ("out.weight", 1)]
    groups = {"cell": [*((name, 0, gates) for name in names), *read]}
    found = tw.connectivity.align(problem, one, other, groups=groups)
    assert bool((found["distance after"] < found["distance before"]).all())
    copies, _ = shuffled(one, groups_of(problem, groups), 10)
    assert recovered(tw.connectivity.align(problem, one, copies, groups=groups).population, one) == 10
    with pytest.raises(ModelError, match=r"gates of a recurrent layer, write \(name, dimension, parts\)"):
        tw.connectivity.align(problem, one, other, groups={"cell": [*((name, 0) for name in names), *read]})
    for wrong, words in (
        (("out.weight", 1, 2), "no 2 equal parts"),
        (("out.weight", 1, 5), "2 units|no multiple|has 1 units"),
        (("out.weight", "1"), "is a list of"),
    ):
        with pytest.raises(UsageError, match=words):
            tw.connectivity.align(problem, one, other, groups={"cell": [*groups["cell"][:5], wrong]})


@every
@pytest.mark.parametrize(("build", "written"), [(Bounded, "embedding"), (Clamped, "hidden")])
def test_a_model_that_writes_into_its_parameters_is_refused_and_members_stay(
    instrument: Instrument, build: type[nn.Module], written: str
) -> None:
    problem = Problem(build, tokens() if build is Bounded else data())
    pair = problem.initialize(2)
    pair = pair.with_theta(pair.theta * 20)
    before = pair.theta.clone()
    with pytest.raises(ModelError, match=f"writes into its parameter '{written}.weight' in evaluation mode"):
        instrument(problem, pair)
    assert pair.theta.equal(before)
    with pytest.raises(ModelError, match="writes into its parameter"):
        tw.connectivity.instability(problem, RECIPE, (0,), seeds=2)
    with pytest.raises(ModelError, match="writes into its parameter"):
        tw.connectivity.repaired(problem, pair[0], [pair[0], pair[1]])


@every
def test_modules_are_told_how_they_become_members(mlp: Problem, instrument: Instrument) -> None:
    modules = [mlp.model(), mlp.model()]
    told = r"got a (Sequential|list): write problem\.population\(|problem\.population\(\[module\]\); got"
    with pytest.raises(UsageError, match=told):
        instrument(mlp, modules)  # pyrefly: ignore
    instrument(mlp, mlp.population(modules))


@pytest.mark.parametrize("sizes", [(4, 1, 3), (4, 3)])
def test_a_model_without_several_units_has_nothing_to_align(sizes: tuple[int, ...]) -> None:
    problem = Problem(lambda: tw.nets.mlp(*sizes), data())
    with pytest.raises(ModelError, match="No layer between the model's input and its output has several units"):
        tw.connectivity.align(problem, problem.initialize([0]), problem.initialize([1]))


class Never(nn.Module):
    """A fourth class that is never the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.out(torch.relu(self.first(inputs)))
        return logits.masked_fill(torch.tensor([False, False, False, True]), -torch.inf)


@every
def test_logits_of_minus_infinity_are_those_of_no_answer(instrument: Instrument) -> None:
    problem = Problem(Never, data())
    instrument(problem, problem.initialize(2))


def test_a_network_without_a_share_has_none_in_the_ensemble() -> None:
    problem = Problem(Never, data())
    found = tw.connectivity.averaged(problem, problem.initialize(2), shares=[1, 0], on="train", resamples=39)
    losses = dict(zip(found.reading.coordinate("way").tolist(), found["loss"], strict=True))
    single = found["member loss"][0]
    for way in ("average of weights", "ensemble of probabilities", "ensemble of logits"):
        assert losses[way] == pytest.approx(single, rel=1e-6)


class Frozen(nn.Module):
    """Batch normalization whose statistics stay as they are, also in training mode."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.norm.register_buffer("running_mean", torch.full((6,), mean))
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(torch.relu(self.norm(self.first(inputs))))


@every
def test_statistics_that_a_model_keeps_in_training_are_not_recomputed(instrument: Instrument) -> None:
    problem = Problem(lambda: Frozen(0.5), data())
    pair = problem.initialize(2)
    instrument(problem, pair)
    line = tw.connectivity.barrier(problem, pair[0], pair[1], points=3, resamples=0)["loss"][0, 0]
    middle = pair[0].with_theta(pair.theta.mean(0, keepdim=True))
    losses = tw.evaluate(problem, Population.concatenate([pair[0], middle, pair[1]]), on="train")["loss"]
    assert line == pytest.approx(losses.numpy(), rel=1e-6)
    assert tw.connectivity.layers_repaired(problem) == ("first",)
    apart = problem.population([Frozen(0.5), Frozen(1.0)])
    with pytest.raises(UsageError, match=r"'norm.running_mean' differs .* not among what normalization layers renew"):
        instrument(problem, apart)


@pytest.fixture(scope="module")
def mlp() -> Problem:
    return Problem(lambda: tw.nets.mlp(4, 6, 3), data())


@every
def test_nothing_is_computed_in_half_precision_because_of_where_it_is_called(
    mlp: Problem, instrument: Instrument
) -> None:
    pair = mlp.initialize(2)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match=r"autocast.*call it outside"):
        instrument(mlp, pair)


@pytest.mark.parametrize("name", ["bezier", "polygonal", "string", "auto_neb", "simplex", "straight-through"])
def test_in_inference_mode_gradients_are_followed_all_the_same(mlp: Problem, name: str) -> None:
    with torch.inference_mode():
        BETWEEN[name](mlp, mlp.initialize(2))


@pytest.mark.parametrize("scale", [torch.nan, 1e30], ids=["not finite", "outputs not finite"])
def test_a_path_that_is_not_finite_has_no_highest_point(mlp: Problem, scale: float) -> None:
    pair = mlp.initialize(2)
    lost = pair[1].with_theta(pair[1].theta * scale)
    for found in (
        tw.connectivity.string(mlp, pair[0], lost, RECIPE, pivots=1),
        tw.connectivity.auto_neb(mlp, pair[0], lost, [RECIPE], pivots=1),
    ):
        assert np.isnan(found["saddle"]).all()
        assert np.isnan(found["saddle location"]).all()


def test_an_ensemble_with_answers_that_are_not_finite_has_no_error(mlp: Problem) -> None:
    pair = mlp.initialize(2)
    pair = Population.concatenate([pair[0], pair[1].with_theta(pair[1].theta * 1e30)])
    found = tw.connectivity.averaged(mlp, pair, on="train", resamples=39)
    lost = dict(zip(found.reading.coordinate("way").tolist(), found["error"], strict=True))
    assert lost["best member"] == lost["best member"]
    assert all(value != value for way, value in lost.items() if "ensemble" in way)


def test_alignment_says_what_is_not_finite(mlp: Problem) -> None:
    pair = mlp.initialize(2)
    far, lost = (pair[1].with_theta(pair[1].theta * scale) for scale in (1e30, torch.nan))
    with pytest.raises(UsageError, match="Member 0 returns numbers that are not finite"):
        tw.connectivity.align(mlp, pair[0], far)
    with pytest.raises(UsageError, match="similar the units of 'hidden1' are is no finite number"):
        tw.connectivity.align(mlp, pair[0], far, matching)
    with pytest.raises(UsageError, match="member 1 of the population"):
        tw.connectivity.align_together(mlp, Population.concatenate([pair[0], lost]))


@pytest.mark.parametrize("factor", [0.0, -1.0], ids=["zero", "opposite"])
def test_simplexes_around_zero_have_a_volume(mlp: Problem, factor: float) -> None:
    one = mlp.initialize(1)
    ends = [one.with_theta(one.theta * abs(factor)), one.with_theta(one.theta * factor)]
    found = tw.connectivity.simplex(mlp, ends, RECIPE, trained=2, points=4)
    assert bool((found["log volume at first"] > -100).all())


def test_simplexes_do_not_depend_on_torchs_default_dtype(mlp: Problem) -> None:
    pair = mlp.initialize(2)
    wanted = tw.connectivity.simplex(mlp, [pair[0], pair[1]], RECIPE, points=4)["loss"]
    try:
        torch.set_default_dtype(torch.float64)
        found = tw.connectivity.simplex(mlp, [pair[0], pair[1]], RECIPE, points=4)["loss"]
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == pytest.approx(wanted, rel=1e-6)
