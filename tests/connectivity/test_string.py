"""The string method and AutoNEB: known saddles, ends to the bit, paths that do not depend on one another."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from connectivity.planted import members, ring
from connectivity.potentials import MUELLER_BROWN_MINIMA, MUELLER_BROWN_SADDLES, double_well, mueller_brown
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import StringCurve, auto_neb, descend, string
from thalweg.connectivity.auto_neb import ElasticBand
from thalweg.connectivity.descent import Found
from thalweg.connectivity.string_curve import Redistribution, as_control, at_pivots
from thalweg.connectivity.string_pivots import equal_shares, straight
from thalweg.errors import UsageError
from thalweg.randomness import generator

A, C, B = MUELLER_BROWN_MINIMA.values()


def _random(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(4, "rows", number), dtype=torch.float64)


def _by_string(problem: tw.Problem, first: list, second: list, pivots: int = 19, rate: float = 3e-4) -> StringCurve:
    recipe = tw.Recipe(tw.optim.SGD(rate), 300)
    return string(problem, members(problem, first), members(problem, second), recipe, pivots=pivots, between=9)


def _by_band(problem: tw.Problem, first: list, second: list, excess: float = 0.005, rate: float = 3e-4) -> StringCurve:
    cycles = [tw.Recipe(tw.optim.SGD(rate), 80)] * 5
    ends = members(problem, first), members(problem, second)
    return auto_neb(problem, *ends, cycles, pivots=5, between=9, excess=excess)


@pytest.mark.parametrize("method", [_by_string, _by_band])
def test_both_methods_find_the_saddles_of_mueller_and_brown(method: Callable[..., StringCurve]) -> None:
    problem = mueller_brown()
    found = method(problem, [A, C, A], [C, B, B])
    wanted = [*MUELLER_BROWN_SADDLES, MUELLER_BROWN_SADDLES[0]]
    np.testing.assert_allclose(found["saddle"][0], wanted, atol=0.5)
    assert (found["line loss"].max(2)[0, [0, 2]] > 0).all()  # the straight lines are far above
    first, second = sorted(MUELLER_BROWN_MINIMA)[0], sorted(MUELLER_BROWN_MINIMA)[1]
    np.testing.assert_allclose(found["loss"][0, 2, [0, -1]], [first, second], atol=1e-3)
    assert 0.2 < found["saddle location"][0, 2] < 0.6  # on the way out of the deeper basin


@pytest.mark.parametrize("method", [_by_string, _by_band])
def test_a_ring_is_followed(method: Callable[..., StringCurve]) -> None:
    angle = torch.tensor([0.0, 2.5], dtype=torch.float64)
    ends = torch.stack([angle.cos(), angle.sin()], dim=1)
    found = method(ring(), ends[:1].tolist(), ends[1:].tolist(), rate=0.1)
    assert float(found["line loss"].max()) > 0.4  # (1 - cos 1.25)^2
    assert float(found["saddle"][0, 0]) < 0.01


@pytest.mark.parametrize("method", [_by_string, _by_band])
def test_the_saddle_of_a_double_well_is_where_and_as_high_as_it_is(method: Callable[..., StringCurve]) -> None:
    found = method(double_well(), [[-1.0, 0.0]], [[1.0, 0.0]], rate=0.05)
    assert float(found["saddle"][0, 0]) == pytest.approx(1, abs=1e-6)
    assert float(found["saddle location"][0, 0]) == pytest.approx(0.5, abs=1e-6)


def test_a_band_is_given_pivots_where_it_is_coarse_and_in_no_other_path() -> None:
    problem = mueller_brown()
    found = _by_band(problem, [A, [0.0, 0.0]], [B, [0.0, 0.0]])
    assert found["pivots"][0] > 5
    assert found["pivots"][1] == 5  # of length 0
    assert len(found.control) == found["pivots"][0] + 2
    assert _by_band(problem, [A], [B], excess=10)["pivots"].tolist() == [5]


@pytest.fixture(scope="module")
def trained() -> tuple[tw.Problem, tw.Population]:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    recipe = tw.Recipe(tw.optim.Momentum(0.1, weight_decay=1e-3), 300, 50, tw.schedules.Cosine(), evaluate=1)
    return problem, tw.train(problem, recipe, seeds=4).final


RECIPE = tw.Recipe(tw.optim.Momentum(0.05, weight_decay=1e-3), 120, 50, tw.schedules.Cosine())


def test_networks_are_joined_far_below_the_straight_line(trained: tuple[tw.Problem, tw.Population]) -> None:
    problem, nets = trained
    for found in (
        string(problem, nets[[0, 1]], nets[[2, 3]], RECIPE, pivots=7, between=1),
        auto_neb(problem, nets[[0, 1]], nets[[2, 3]], [RECIPE] * 2, pivots=4, between=2),
    ):
        assert (found.height("loss") < 0.35 * found["line loss height"][0]).all()
        assert torch.equal(found.control[0].theta, nets.theta[:2])
        assert torch.equal(found.control[-1].theta, nets.theta[2:])
        assert torch.equal(found.at(0.0).theta, nets.theta[:2])
        assert torch.equal(found.at(1.0).theta, nets.theta[2:])
        assert found.figure().panels
        assert found.reading.cost.backwards >= 2 * 120 * 4


@pytest.mark.parametrize("method", ["string", "auto_neb"])
def test_a_path_alone_is_the_path_among_many(trained: tuple[tw.Problem, tw.Population], method: str) -> None:
    problem, nets = trained
    recipe = tw.Recipe(tw.optim.Momentum(0.05), 25, 50)

    def joined(first: tw.Population, second: tw.Population) -> StringCurve:
        if method == "string":
            return string(problem, first, second, recipe, pivots=3, between=2, plan="looped")
        return auto_neb(problem, first, second, [recipe] * 3, pivots=2, between=2, excess=0.05, plan="looped")

    many = joined(nets[[0, 1, 2]], nets[[3, 3, 3]])
    for member in range(3):
        alone = joined(nets[member], nets[3])
        assert many["pivots"][member] == alone["pivots"][0]
        rows = torch.cat([one.theta[member] for one in many.control]).view(len(many.control), -1)
        for pivot in alone.control:  # where others have more pivots, this path has some on its straight pieces besides
            assert float((rows - pivot.theta).norm(dim=1).min()) < 1e-4
        np.testing.assert_allclose(many["saddle"][:, member], alone["saddle"][:, 0], rtol=0.02)


def test_a_string_is_at_equal_distances_along_itself() -> None:
    problem = mueller_brown()
    found = _by_string(problem, [A], [B], pivots=30)
    apart = torch.cat([one.theta for one in found.control]).diff(dim=0).norm(dim=1)
    assert float(apart.max() / apart.min()) < 1.05  # chords cut the corners where it bends


def _found(losses: Tensor, control: Tensor, gradient: Tensor, state: dict[str, Tensor]) -> Found:
    return Found(0, torch.empty(0), losses, control, gradient, state)


def _place(polygon: Tensor, point: Tensor) -> tuple[int, float]:
    """Between which corners of a polygon a point lies, and where, by trying all."""
    for left, (a, b) in enumerate(itertools.pairwise(polygon)):
        share = float((point - a).dot(b - a) / (b - a).dot(b - a))
        if -1e-9 <= share <= 1 + 1e-9 and float((torch.lerp(a, b, share) - point).norm()) < 1e-9:
            return left, share
    pytest.fail("The point is not on the polygon.")


def test_momentum_goes_with_the_pivots() -> None:
    counts, control = torch.tensor([6, 6]), _random(6, 2, 3)
    velocity, tally = _random(8, 3, number=1), torch.ones(8, 1, dtype=torch.float64)
    before, ends = control.clone(), torch.zeros(1, 2, 3, dtype=torch.float64)
    kept = torch.cat([ends, velocity.clone().view(4, 2, 3), ends])
    rows = Redistribution(equal_shares(counts), counts)
    rows.change(_found(_random(2, 4), control, _random(4, 2, 3), {"velocity": velocity, "count": tally}))
    rows.move(control)
    for path, k in itertools.product(range(2), range(1, 5)):
        left, share = _place(before[:, path], control[k, path])
        wanted = torch.lerp(kept[left, path], kept[left + 1, path], share)
        torch.testing.assert_close(velocity.view(4, 2, 3)[k - 1, path], wanted, rtol=1e-9, atol=1e-12)
    assert bool((tally == 1).all())


def test_what_the_rule_remembers_is_given_as_it_is(trained: tuple[tw.Problem, tw.Population]) -> None:
    problem, nets = trained
    control = as_control(nets[[0, 1]], nets[[2, 3]], straight(nets.theta[:2], nets.theta[2:], 3))
    seen: list[Found] = []
    recipe = tw.Recipe(tw.optim.Momentum(0.1), 2, 50)
    points = at_pivots(slice(1, 4), 5, 2)
    descend(problem, control, slice(1, 4), points, recipe, seeds=[0, 0], share=1.0, change=seen.append)
    velocity = seen[0].state["velocity"]
    assert velocity.shape == (3 * 2, problem.layout.parameters)
    assert velocity.any()
    assert velocity is seen[1].state["velocity"]


def test_masked_networks_are_joined_within_their_masks() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    masks = [torch.rand(650, generator=generator(number, "mask")) < 0.3 for number in range(2)]
    first, second = (problem.initialize([k]).with_mask(mask) for k, mask in enumerate(masks))
    recipe = tw.Recipe(tw.optim.Momentum(0.1), 5, 50)
    for found in (
        string(problem, first, second, recipe, pivots=2, between=0),
        auto_neb(problem, first, second, [recipe] * 2, pivots=2, between=1),
    ):
        for pivot in found.control[1:-1]:
            assert not pivot.theta[0, ~(masks[0] | masks[1])].any()
        assert torch.equal(found.control[0].theta, first.theta)


def test_a_band_does_not_move_along_itself_nor_move_its_ends() -> None:
    counts = torch.tensor([5, 3])
    control = _random(5, 2, 3)
    control[3:, 1] = control[2, 1]
    gradient = _random(3, 2, 3, number=2)
    band = ElasticBand(equal_shares(counts), counts)
    losses = torch.arange(5.0, dtype=torch.float64).expand(2, 5).clone()
    losses[1, 3:] = losses[1, 2]
    band.change(_found(losses, control, gradient, {}))
    along = control[2:] - control[1:-1]  # the loss rises
    assert float((gradient * along).sum(2).abs().max()) < 1e-14
    assert not gradient[1:, 1].any()  # the second end, and what stands behind it
    assert band.losses[0].tolist() == [2.0, 1.0]
    band.move(control)
    assert torch.equal(control[2:, 1], control[2, 1].expand(3, -1))


@pytest.mark.parametrize("method", [_by_string, _by_band])
def test_a_path_that_diverges_is_named_and_others_go_on(method: Callable[..., StringCurve]) -> None:
    problem = mueller_brown()
    found = method(problem, [A, [9.0, 9.0]], [B, [-9.0, -9.0]])
    alone = method(problem, [A], [B])
    assert (found.diverged_at >= 0).tolist() == [False, True]
    assert any("member 1 at step" in note for note in found.reading.notes)
    np.testing.assert_allclose(found["saddle"][0, 0], alone["saddle"][0, 0], rtol=1e-9)
    assert np.isfinite(found["loss"][0, 1, [0, -1]]).all()
    assert np.isnan(found["loss"][0, 1]).any()
    for array in ("saddle", "saddle location", "loss height"):  # not those of the ends, which are lower than any saddle
        assert np.isnan(found[array][0]).tolist() == [False, True], array
    found.figure().to_matplotlib()


class _Uncertain(nn.Module):
    """-|x|^2, which is NaN on examples below 0 wherever x is not about 0."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        square = self.x.square().sum()
        return torch.where((inputs < 0) & (square > 0.01), torch.nan, -square)


def test_a_band_that_diverged_is_frozen_in_later_cycles() -> None:
    inputs = torch.tensor([[1.0], [1.0], [-1.0], [1.0]], dtype=torch.float64)
    problem = tw.Problem(_Uncertain, (inputs, torch.zeros(4, 1, dtype=torch.float64)), lambda f, y: (f - y).squeeze(1))
    ends = members(problem, [[-1.0, 1.0], [-1.0, 1.0]]), members(problem, [[1.0, 1.0], [1.0, 1.0]])
    few = tw.data.Examples(inputs[:2], inputs[:2] * 0)
    epoch, step = (tw.Recipe(tw.optim.SGD(0.1), steps, 1) for steps in (4, 1))
    short, long = (
        auto_neb(problem, *ends, cycles, on=few, seed=[0, 1], between=1, excess=0.0)
        for cycles in ([epoch], [epoch, step, step, step])
    )
    assert (short.diverged_at >= 1).all()  # in the first pass over the examples
    assert torch.equal(short.diverged_at, long.diverged_at)
    assert long["pivots"].tolist() == [3, 3]  # more would be wanted: -|x|^2 is above its chords
    for one, other in zip(short.control, long.control, strict=True):
        assert torch.equal(one.theta, other.theta)
    assert torch.equal(long.batch_loss.isnan(), torch.arange(7)[:, None] >= long.diverged_at - 1)
    assert long.reading.cost.backwards == short.reading.cost.backwards


def test_batch_normalization_is_recomputed_on_the_string() -> None:
    model = lambda: nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))  # noqa: E731
    problem = tw.Problem(model, tw.data.digits())
    nets = problem.initialize(2)
    recipe = tw.Recipe(tw.optim.SGD(0.1), 60, 50)
    found = string(problem, nets[0], nets[1], recipe, pivots=1, between=0, on="train")
    middle = tw.evaluation.recomputed(problem, found.at(0.5))
    assert found["loss"][0, 0, 1] == pytest.approx(float(tw.evaluate(problem, middle, "train")["loss"]), rel=1e-5)
    assert found["loss"][0, 0, 1] < 0.7 * found["loss"][0, 0, 0]


def test_arguments_that_cannot_be_meant() -> None:
    problem = double_well()
    ends = members(problem, [[-1.0, 0.0]]), members(problem, [[1.0, 0.0]])
    with pytest.raises(UsageError, match="string pivots"):
        string(problem, *ends, pivots=0)
    with pytest.raises(UsageError, match="auto_neb cycles"):
        auto_neb(problem, *ends, [])
    with pytest.raises(UsageError, match="sweeps"):
        auto_neb(problem, *ends, [tw.Recipe(tw.optim.SGD([0.1, 0.2]), 3)])
    with pytest.raises(UsageError, match="as many members"):
        string(problem, ends[0], members(problem, [[1.0, 0.0], [1.0, 0.0]]))
