"""The regime of planted nets, which are linear, wide or learn features; and each measure against its formula."""

import numpy as np
import pytest
import torch
from cases import CASE
from ntk.dense_kernels import kernel_of
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.ntk import regime
from thalweg.ntk.regime_verdict import judged
from thalweg.population import Population
from thalweg.randomness import generator

ALL = tw.Sample("train")


class TwoLayers(nn.Module):
    """a tanh(W x / root(d)) / width^power: lazy for power 1/2 and wide, of features for power 1."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.hidden, self.readout = nn.Linear(8, width, bias=False), nn.Linear(width, 1, bias=False)
        nn.init.normal_(self.hidden.weight)
        nn.init.normal_(self.readout.weight)
        self.scale = width**-power

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(torch.tanh(self.hidden(x) / 8**0.5)) * self.scale


def _data() -> tw.data.Data:
    x = torch.randn(40, 8, generator=generator(0, "x"))
    x = 8**0.5 * x / x.norm(dim=1, keepdim=True)
    y = (x[:, :1] * x[:, 1:2]).sign()
    train, test = (tw.data.Examples(x[some], y[some]) for some in (slice(24), slice(24, None)))
    return tw.data.Data(train, test, name="signs")


def _trained(width: int, power: float, seeds: int = 5, **options: object) -> tuple[tw.Problem, tw.training.Run]:
    problem = tw.Problem(lambda: TwoLayers(width, power), _data(), "squared_error")
    rate = 0.5 * width ** (2 * power - 1)
    return problem, tw.train(problem, tw.Recipe(tw.optim.SGD(rate), steps=60, **options), seeds=seeds)


def test_a_wide_net_is_lazy_and_wide_enough() -> None:
    problem, run = _trained(2_048, 0.5)
    found = regime(problem, run)
    assert (found.verdict, found.wide_enough) == ("lazy", "yes")
    assert found.intervals["drift"].high < 0.02
    assert "lazy, as it stays below 0.1." in found.sentence
    assert "wide enough for its kernel" in found.sentence
    assert found.remarks()[0] == found.sentence


def test_the_same_net_in_mean_field_scaling_is_rich() -> None:
    problem, run = _trained(2_048, 1.0)
    found = regime(problem, run)
    assert (found.verdict, found.wide_enough) == ("rich", "no")
    assert found.intervals["drift"].low > 0.5
    assert found.layer == "hidden"
    assert found.lead.low > 0
    assert "most of all in hidden" in found.sentence


def test_a_narrow_net_is_not_wide_enough_for_its_start_is_random() -> None:
    problem, run = _trained(16, 0.5)
    found = regime(problem, run)
    assert found.wide_enough == "no"
    assert found.intervals["spread"].low > 0.1


def test_a_linear_model_has_no_drift_and_no_nonlinearity() -> None:
    problem = tw.Problem(lambda: nn.Linear(8, 1), _data(), "squared_error")
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=20), seeds=4)
    found = regime(problem, run)
    assert (found.verdict, found.wide_enough) == ("lazy", "yes")
    assert found["drift"].max() == 0
    assert found["nonlinearity"].max() < 1e-5
    assert found["movement"].min() > 0.1
    assert found.figure().title == "Lazy or rich?"
    whole, parts = found.figure().panels
    assert (whole.y.scale, whole.y.limits) == ("linear", (0.0, 1.3 * max(0.5, found["movement"].mean())))
    assert parts.y.scale == "linear"


def test_every_measure_is_its_formula() -> None:
    case = CASE["mlp"]
    problem = case.problem(dtype=torch.float64)
    recipe = tw.Recipe(tw.optim.SGD(0.5), steps=20, snapshot=(0,))
    run = tw.train(problem, recipe, seeds=3)
    found = regime(problem, run, on=ALL, held_out="train")
    examples, start = problem.data.train, run.snapshots[0]
    kernels = []
    for member in range(3):
        traces = []
        for population in (start, run.final):
            whole = kernel_of(case, population, member, examples).unflatten(1, (24, 3)).unflatten(0, (24, 3))
            traces.append(torch.einsum("acbc->ab", whole).numpy() / 3)
        first, last = traces
        kernels.append(first)
        norm = np.linalg.norm
        assert found["drift"][member] == pytest.approx(norm(last - first) / norm(first), rel=1e-8)
        cosine = (last * first).sum() / norm(last) / norm(first)
        assert found["kernel distance"][member] == pytest.approx(1 - cosine, rel=1e-6)
        change = run.final.theta[member] - start.theta[member]
        assert found["movement"][member] == pytest.approx(float(change.norm() / start.theta[member].norm()), rel=1e-9)
        step = 1e-6
        moved = start[member].with_theta(start.theta[[member]] + step * change)
        f0, f1, near = (
            tw.evaluation.outputs(problem, one, on=ALL)[0] for one in (start[member], run.final[member], moved)
        )
        slope = (near - f0) / step
        wanted = float((f1 - f0 - slope).norm() / (f1 - f0).norm())
        assert found["nonlinearity"][member] == pytest.approx(wanted, rel=1e-3)
    middle = np.mean(kernels, 0)
    spread = [np.linalg.norm(one - middle) / np.linalg.norm(middle) * 1.5**0.5 for one in kernels]
    np.testing.assert_allclose(found["spread"], spread, rtol=1e-8)


def test_layers_move_on_their_own() -> None:
    """Only the readout is changed: its own part of the kernel stays, and that of the layer below grows."""
    problem = tw.Problem(lambda: TwoLayers(64, 0.5), _data(), "squared_error")
    start = problem.initialize(3)
    columns = problem.layout["readout.weight"].columns
    theta = start.theta.clone()
    theta[:, columns] *= 2
    found = regime(problem, start.with_theta(theta), start=start)
    layers = found.reading.coordinate("layer").tolist()
    by_layer = dict(zip(layers, found["drift by layer"].T, strict=True))
    assert (by_layer["readout"] == 0).all()
    np.testing.assert_allclose(by_layer["hidden"], found["drift"], rtol=1e-6)
    moved = dict(zip(layers, found["movement by layer"].T, strict=True))
    assert (moved["hidden"] == 0).all()
    np.testing.assert_allclose(moved["readout"], found["movement"], rtol=1e-6)


def test_the_start_is_the_snapshot_or_made_again() -> None:
    problem, run = _trained(32, 0.5, seeds=3)
    _, kept = _trained(32, 0.5, seeds=3, snapshot=(0,))
    again, snapshot = regime(problem, run), regime(problem, kept)
    np.testing.assert_allclose(again["drift"], snapshot["drift"], rtol=1e-5)  # plans may differ in rounding
    given = regime(problem, run.final, start=problem.initialize(3))
    np.testing.assert_array_equal(given["drift"], again["drift"])
    fork = tw.train(
        problem, tw.Recipe(tw.optim.SGD(0.1), steps=5), start=problem.initialize([7, 8, 9]), paired=True, seeds=3
    )
    with pytest.raises(UsageError, match=r"does not know where.*snapshot=\(0,\)"):
        regime(problem, fork)
    with pytest.raises(UsageError, match="needs start="):
        regime(problem, run.final)


def test_a_mask_is_that_of_the_start_too() -> None:
    problem = tw.Problem(lambda: TwoLayers(32, 0.5), _data(), "squared_error")
    mask = torch.rand(problem.layout.parameters, generator=generator(0, "mask")) < 0.5
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=3), seeds=3, mask=mask)
    kept = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=3, snapshot=(0,)), seeds=3, mask=mask)
    np.testing.assert_allclose(regime(problem, run)["drift"], regime(problem, kept)["drift"], rtol=1e-6)


def test_members_of_a_sweep_are_not_mixed() -> None:
    problem = tw.Problem(lambda: TwoLayers(32, 0.5), _data(), "squared_error")
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(tw.sweep.values([0.1, 0.5])), steps=10), seeds=3)
    with pytest.raises(UsageError, match=r"2 values of 'lr'; write members=run.select\(lr=0.1\)"):
        regime(problem, run)
    found = regime(problem, run, members=run.select(lr=0.5))
    assert found.reading.coordinate("member").tolist() == [3, 4, 5]


def test_members_that_diverged_are_left_out_and_said() -> None:
    problem = tw.Problem(lambda: TwoLayers(32, 0.5), _data(), "squared_error")
    start = problem.initialize(4)
    theta = start.theta.clone()
    theta[1] = torch.nan
    found = regime(problem, start.with_theta(theta), start=start)
    assert found.reading.coordinate("member").tolist() == [0, 2, 3]
    assert "1 of 4 members diverged and are left out." in found.reading.notes
    assert not any(np.isnan(found[name]).any() for name in found.reading.arrays)
    with pytest.raises(UsageError, match="all 4 diverged"):
        regime(problem, start.with_theta(theta * torch.nan), start=start)


def test_one_member_decides_nothing() -> None:
    problem, run = _trained(512, 0.5, seeds=1)
    found = regime(problem, run)
    assert (found.verdict, found.wide_enough) == ("undecided", "undecided")
    assert "one member has no interval" in found.sentence
    assert "spread" not in found.reading.arrays
    assert found.figure().panels


def test_two_members_are_said_to_decide_next_to_nothing() -> None:
    def sentence(values: list[float]) -> tuple[str, str]:
        alike = dict.fromkeys(
            ("drift", "kernel distance", "centered distance", "nonlinearity", "movement"), np.array(values)
        )
        arrays = alike | {"drift by layer": np.array(values)[:, None]}
        dims = dict.fromkeys(alike, ("member",)) | {"drift by layer": ("member", "layer")}
        found = judged(tw.Reading("regime", arrays, dims, {"layer": ["a"]}), ["a"], 0.1, 0.5)
        drift = found.intervals["drift"]
        return found.sentence, f"two members have an interval, {drift.low:.2g} to {drift.high:.2g}, that says next to"

    two, said = sentence([0.2, 0.6])
    assert said in two
    assert "so few members do not say" in two
    more, _ = sentence([0.2, 0.6, 0.3, 0.05])
    assert "two members" not in more
    assert "so few" not in more
    clear, _ = sentence([0.001, 0.0011])
    assert "lazy, as it stays below 0.1" in clear


def test_several_orders_from_one_network_have_no_spread() -> None:
    problem = tw.Problem(lambda: TwoLayers(512, 0.5), _data(), "squared_error")
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=8, snapshot=(0,))
    run = tw.train(problem, recipe, start=problem.initialize(1), seeds=4)
    found = regime(problem, run)
    assert "spread" not in found.reading.arrays
    assert found.wide_enough == "undecided"


@pytest.mark.parametrize(
    ("drift", "verdict"),
    [
        ([0.01, 0.02, 0.015, 0.012], "lazy"),
        ([0.02, 0.3, 0.05, 0.15], "undecided"),
        ([0.2, 0.22, 0.21, 0.19], "between"),
        ([0.3, 0.9, 0.5, 0.6], "undecided"),
        ([1.0, 1.2, 0.9, 1.1], "rich"),
    ],
)
def test_the_verdict_is_that_of_the_interval(drift: list[float], verdict: str) -> None:
    values = np.array(drift)
    alike = {name: values for name in ("drift", "kernel distance", "centered distance", "nonlinearity", "movement")}
    table = np.stack([values / 2, values / 3], axis=1)
    reading = tw.Reading(
        "regime",
        alike | {"drift by layer": table},
        dict.fromkeys(alike, ("member",)) | {"drift by layer": ("member", "layer")},
        {"layer": ["a", "b"]},
    )
    found = judged(reading, ["a", "b"], 0.1, 0.5)
    assert found.verdict == verdict
    assert found.layer == "a"
    assert verdict in found.sentence


def test_unscaled_inputs_are_said_and_thresholds_checked() -> None:
    data = _data()
    loud = tw.data.Data(tw.data.Examples(100 * data.train.inputs, data.train.targets), None, name="loud")
    problem = tw.Problem(lambda: TwoLayers(32, 0.5), loud, "squared_error")
    start = problem.initialize(2)
    found = regime(problem, start.with_theta(1.1 * start.theta), start=start)
    assert "not scaled" in " ".join(found.reading.notes)
    for wrong in ({"lazy": 0.0}, {"lazy": 0.6}, {"rich": float("inf")}):
        with pytest.raises(UsageError, match="0 < lazy <= rich"):
            regime(problem, start, start=start, **wrong)
    with pytest.raises(UsageError, match="members must be some of 0 to 1"):
        regime(problem, start, start=start, members=[5])
    with pytest.raises(UsageError, match="must have the run's 2 members"):
        regime(problem, start, start=problem.initialize(3))


def test_running_statistics_that_moved_are_said() -> None:
    problem = CASE["batchnorm"].problem()
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=5), seeds=2)
    assert "Running statistics moved" in " ".join(regime(problem, run).reading.notes)


def test_only_reads() -> None:
    problem, run = _trained(32, 0.5, seeds=2)
    before = run.final.theta.clone()
    start: Population = problem.initialize(2)
    regime(problem, run.final, start=start)
    assert torch.equal(run.final.theta, before)
    assert torch.equal(start.theta, problem.initialize(2).theta)
