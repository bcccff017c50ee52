"""Barriers: of known potentials, of convex models, to oneself, in both directions, on resampled examples."""

import numpy as np
import pytest
import torch
from cases import CASE
from connectivity.wells import double_well, place, problem_of
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import barrier
from thalweg.connectivity.height_intervals import height_intervals
from thalweg.connectivity.resamples import Resamples
from thalweg.errors import UsageError
from thalweg.evaluation import by_example, evaluate, line_heights

ON = ["train", "test"]


@pytest.fixture(scope="module")
def digits() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 10), tw.data.digits())


@pytest.fixture(scope="module")
def pairs(digits: tw.Problem) -> tuple[tw.Population, tw.Population]:
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=60, batch_size=100, evaluate=1)
    run = tw.train(digits, recipe, 6, progress=None)
    return run.final[:3], run.final[3:]


@pytest.mark.parametrize("points", [3, 9, 25])
def test_between_double_wells_it_is_one(points: int) -> None:
    problem = problem_of(double_well, 1)
    found = barrier(problem, place(problem, [-1.0]), place(problem, [1.0]), points=points)
    for name in ("loss barrier", "loss barrier, over mean"):
        assert found[name] == pytest.approx(1, abs=1e-14)
    assert found["loss location"] == pytest.approx(0.5, abs=1e-14)
    assert found.over_pairs().estimate == pytest.approx(1)  # of the loss, as there is no accuracy


def test_between_points_of_the_grid_the_parabola_finds_the_top() -> None:
    problem = problem_of(double_well, 1)
    found = barrier(problem, place(problem, [-1.0]), place(problem, [1.0]), points=24)
    assert found["loss"].max() < 0.997
    assert found["loss barrier"] == pytest.approx(1, abs=1e-4)
    assert found["loss location"] == pytest.approx(0.5, abs=1e-12)


def test_unequal_wells_tell_the_definitions_apart() -> None:
    """On (x^2 - 1)^2 + x/2 the chord is x/2, over which the rise is 1; over the mean, 0, it is the maximum itself."""
    problem = problem_of(lambda at: double_well(at) + at[0] / 2, 1)
    found = barrier(problem, place(problem, [-1.0]), place(problem, [1.0]), points=41)
    top = np.roots([4, 0, -4, 0.5])
    top = min(top.real, key=abs)
    assert found["loss barrier"] == pytest.approx(1, abs=1e-9)
    assert found["loss location"] == pytest.approx(0.5, abs=1e-9)
    assert found["loss barrier, over mean"] == pytest.approx((top**2 - 1) ** 2 + top / 2, abs=5e-5)
    assert found["loss"].max() < 1.0306 < found["loss barrier, over mean"]


def test_the_error_has_barriers_of_its_own() -> None:
    """Example j is wrong where |x| < a_j, so that the error is a staircase with its top, 1, at 0 and a kink there."""
    edges = (torch.arange(200, dtype=torch.float64) + 0.5) / 200

    class Place(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.at = nn.Parameter(torch.zeros(1))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.at.expand(len(inputs), 1)

    problem = tw.Problem(
        Place,
        (edges[:, None], edges[:, None]),
        lambda output, target: (output**2 - 1).square().squeeze(1) + 0 * target.squeeze(1),
        metrics={"accuracy": lambda output, target: (output.abs() >= target).double().squeeze(1)},
        dtype=torch.float64,
    )
    found = barrier(problem, place(problem, [-1.0]), place(problem, [0.5]), points=31)
    assert found["error"][0, 0, [0, 20, 30]] == pytest.approx([0, 1, 0.5])
    assert found["error barrier"] == pytest.approx(1 - 0.5 * 2 / 3)
    assert found["error barrier, over mean"] == pytest.approx(1 - 0.25)
    assert found["error location"] == pytest.approx(2 / 3)


def test_a_convex_model_has_none_above_the_chord_and_half_the_difference_over_the_mean() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    recipe = tw.Recipe(tw.optim.Momentum(0.05), steps=40, batch_size=100, evaluate=1)
    first, second = problem.initialize([0, 1]), tw.train(problem, recipe, [2, 3], progress=None).final
    found = barrier(problem, first, second, on=ON)
    assert found["loss barrier"] == pytest.approx(0, abs=1e-6)
    apart = np.abs(found["loss"][..., 0] - found["loss"][..., -1])
    assert (found["loss barrier, over mean"] >= apart / 2 - 1e-12).all()
    assert (apart > 0.5).all()
    assert (found["error barrier, over mean"] > 0.1).all()


@pytest.mark.parametrize("statistics", ["recompute", "interpolate"])
def test_to_oneself_it_is_zero_to_the_bit(statistics: str) -> None:
    for problem in (CASE["batchnorm"].problem(), tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())):
        population = problem.initialize(3)
        found = barrier(problem, population, population.copy(), points=7, statistics=statistics, resamples=39)
        for name in ("loss", "error")[: 1 + bool(problem.metrics)]:
            assert not found[f"{name} barrier"].any()
            assert not found[f"{name} barrier, over mean"].any()
            assert np.isnan(found[f"{name} location"]).all()
            assert not found[f"{name} barrier, 95 %"].any()
            assert (np.ptp(found[name], axis=2) == 0).all()


def test_directions_do_not_matter_to_the_bit(digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]) -> None:
    there, back = barrier(digits, *pairs, points=10, on=ON), barrier(digits, *reversed(pairs), points=10, on=ON)
    for name, dims in there.reading.dims.items():
        if "location" in name:
            flipped = 1 - (back[name][..., ::-1] if dims[-1] == "end" else back[name])
            assert there[name] == pytest.approx(flipped, abs=1e-12)
        else:
            np.testing.assert_array_equal(there[name], back[name][..., ::-1] if dims[-1] == "t" else back[name])
    assert (there["loss barrier"] > 0.01).all()


def test_values_are_those_of_the_networks_on_the_line(
    digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]
) -> None:
    first, second = pairs
    for on in ("test", tw.Sample("train", 100)):
        found = barrier(digits, first, second, points=5, on=on, resamples=0)
        for number, t in enumerate((0, 0.25, 0.5, 0.75, 1)):
            wanted = evaluate(digits, first.with_theta((1 - t) * first.theta + t * second.theta), on)
            assert found["loss"][0, :, number] == pytest.approx(wanted["loss"].numpy(), rel=1e-5)
            assert 1 - found["error"][0, :, number] == pytest.approx(wanted["accuracy"].numpy(), abs=1e-6)
        assert not found.reading.standard_errors
    with pytest.raises(UsageError, match="no intervals over examples of 'error barrier'; write barrier"):
        found.intervals()


def test_running_statistics_are_made_anew_or_interpolated() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    recipe = tw.Recipe(tw.optim.Momentum(0.05), 8, 8, evaluate=0)
    first, second = (tw.train(problem, recipe, [seed], progress=None).final for seed in (0, 1))
    middle = first.with_theta((first.theta + second.theta) / 2).copy()
    renewed = float(evaluate(problem, tw.evaluation.recomputed(problem, middle), "train")["loss"])
    assert barrier(problem, first, second, points=3)["loss"][0, 0, 1] == pytest.approx(renewed)
    for name, buffer in first.running.items():
        if buffer.is_floating_point():
            middle.buffers[name].copy_((buffer + second.buffers[name]) / 2)
    between = float(evaluate(problem, middle, "train")["loss"])
    found = barrier(problem, first, second, points=3, statistics="interpolate")
    assert found["loss"][0, 0, 1] == pytest.approx(between)
    for end, population in ((0, first), (2, second)):
        assert found["loss"][0, 0, end] == pytest.approx(float(evaluate(problem, population, "train")["loss"]))
    assert between != pytest.approx(renewed)


def test_a_resample_is_the_same_examples_on_the_whole_line(
    digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]
) -> None:
    first, second = (one[:1] for one in pairs)
    found = barrier(digits, first, second, points=5, on="test", resamples=59, seed=3)
    rows = torch.cat([(1 - t) * first.theta + t * second.theta for t in (0, 0.25, 0.5, 0.75, 1)])
    table = by_example(digits, first.with_theta(rows), "test")["loss"]
    draws = Resamples(360, 59, 3).means(table)
    heights = line_heights(draws).barrier
    assert found.reading.standard_errors["loss barrier"][0, 0] == pytest.approx(heights.std(ddof=1), rel=1e-4)
    assert found.reading.standard_errors["loss"][0, 0] == pytest.approx(draws.std(0, ddof=1), rel=1e-4)
    line = table.double().mean(1).numpy()
    wanted, _ = height_intervals(line, draws, "loss")
    (interval,) = found.intervals("loss barrier")
    assert [interval.low, interval.high] == pytest.approx(wanted, rel=1e-4)
    assert interval.estimate == found["loss barrier"][0, 0]


def test_over_pairs_it_is_that_of_a_mean(digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]) -> None:
    found = barrier(digits, *pairs, points=5, on=ON)
    assert found["error"].shape == (2, 3, 5)
    for number, on in enumerate(ON):
        wanted = tw.statistics.mean(found["error barrier"][number], bounds=tw.statistics.SHARE)
        assert found.over_pairs(on=on) == wanted
    assert not any("share a network" in note for note in found.reading.notes)
    intervals = found.intervals("loss barrier, over mean", "test")
    assert [one.n for one in intervals] == [360] * 3
    assert [one.estimate for one in found.intervals()] == found["error barrier"][0].tolist()
    with pytest.raises(UsageError, match="no set of examples 'tests'"):
        found.over_pairs(on="tests")
    with pytest.raises(UsageError, match="no barrier 'loss'"):
        found.over_pairs("loss")


def test_of_two_pairs_the_interval_stays_within_its_bounds(
    digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]
) -> None:
    found = barrier(digits, *(one[:2] for one in pairs), points=5, on="test", resamples=0)
    for name, most in (("error barrier", 1.0), ("error barrier, over mean", 1.0), ("loss barrier", np.inf)):
        one = found.over_pairs(name)
        assert one.known
        assert 0 <= one.low <= one.estimate <= one.high <= most
    place = found.over_pairs("loss location")
    assert 0 <= place.low <= place.high <= 1


def test_pairs_that_share_a_network_are_said_to_be_too_alike(
    digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]
) -> None:
    first, second = pairs
    for one, two, sharing in (
        (first[[0, 0, 1]], second, 2),
        (first, first[[1, 2, 0]], 3),  # a ring: each is an end of two
        (first[[0, 1]], first[[0, 2]], 0),  # a network and itself is one pair
    ):
        found = barrier(digits, one, two, points=3, on="test", resamples=0)
        assert found.sharing == sharing
        notes = [note for note in found.reading.notes if note.startswith(f"{sharing} of 3 pairs share a network")]
        assert len(notes) == (sharing > 0)
        assert ("too narrow" in found.over_pairs("loss barrier").method) == (sharing > 0)
        assert ("share a network" in found.figure().caption) == (sharing > 0)


def test_the_figure_shows_pairs_and_means(digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]) -> None:
    found = barrier(digits, *pairs, points=5, on=ON)
    figure = found.figure("test")
    assert [panel.title for panel in figure.panels] == ["loss", "error"]
    for panel, name in zip(figure.panels, ("loss", "error"), strict=True):
        assert [mark.thin for mark in panel.marks] == [True] * 3 + [False] * 2
        np.testing.assert_array_equal(panel.marks[1].y, found[name][1, 1])
        np.testing.assert_array_equal(panel.marks[-1].y, found[name][1].mean(0))
    assert "360 test examples" in figure.caption
    figure.to_matplotlib()
    figure.to_plotly()


def test_errors_are_fractions_wherever_they_are_measured(
    digits: tw.Problem, pairs: tuple[tw.Population, tw.Population]
) -> None:
    first, second = pairs
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=1, batch_size=50)
    for found, names in (
        (
            barrier(digits, first, second, points=3, resamples=39),
            ("error", "error barrier", "error barrier, over mean"),
        ),
        (tw.connectivity.plane(digits, first[:1], second[:1], first[1:2], resolution=3), ("error",)),
        (tw.connectivity.bezier(digits, first, second, recipe, points=3), ("error", "error height")),
    ):
        assert {name: found.reading.units[name] for name in names} == dict.fromkeys(names, "fraction")


def test_several_sets_of_one_kind_have_names_of_their_own(digits: tw.Problem) -> None:
    first, second = digits.initialize([0]), digits.initialize([1])
    found = barrier(digits, first, second, points=3, on=[tw.Sample("train", 50), "train"], resamples=0)
    assert found.reading.coordinate("on").tolist() == ["50 of 1,437 train examples", "all 1,437 train examples"]
    found = barrier(digits, first, second, points=3, on=digits.data.test, resamples=0)
    assert found.reading.coordinate("on").tolist() == ["examples"]


def test_every_difference_of_architectures_is_listed(digits: tw.Problem) -> None:
    other = tw.Population.initialize(lambda: tw.nets.mlp(64, 16, 8, 10), [1])
    with pytest.raises(UsageError) as refused:
        barrier(digits, digits.initialize(1), other)
    for part in (
        "'hidden1.weight' is (12, 64) in the first and (16, 64) in the second",
        "'hidden1.bias' is (12,) in the first and (16,) in the second",
        "'output.weight' is (10, 12) in the first and (10, 8) in the second",
        "'hidden2.weight' (8, 16) is in the second alone",
        "'hidden2.bias' (8,) is in the second alone",
        "barrier needs networks of one architecture",
    ):
        assert part in str(refused.value)


class Counting(nn.Module):
    """A layer with a buffer of its own."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("kept", value)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)


def test_buffers_that_differ_are_refused_unless_there_is_something_between() -> None:
    data = tw.data.digits().subset(train=50, test=20)
    whole = tw.Problem(lambda: Counting(torch.tensor(1)), data)
    first, second = whole.population(Counting(torch.tensor(1))), whole.population(Counting(torch.tensor(2)))
    with pytest.raises(UsageError, match=r"'kept' holds whole numbers that differ.*write replace"):
        barrier(whole, first, second)
    assert barrier(whole, first, first, points=3)["loss barrier"] == 0
    floating = tw.Problem(lambda: Counting(torch.tensor(1.0)), data)
    first, second = floating.population(Counting(torch.tensor(1.0))), floating.population(Counting(torch.tensor(2.0)))
    with pytest.raises(UsageError, match=r"'kept' differs.*write statistics=\"interpolate\""):
        barrier(floating, first, second)
    barrier(floating, first, second, points=3, statistics="interpolate")


def test_frozen_parameters_that_differ_are_refused() -> None:
    def model() -> nn.Module:
        made = tw.nets.mlp(64, 8, 10)
        made.output.requires_grad_(False)
        return made

    problem = tw.Problem(model, tw.data.digits().subset(train=50, test=20))
    with pytest.raises(UsageError, match=r"frozen parameters 'output.bias', 'output.weight' differ.*requires_grad_"):
        barrier(problem, problem.initialize([0]), problem.initialize([1]))


def test_what_makes_no_sense_is_refused(digits: tw.Problem) -> None:
    one, two = digits.initialize(1), digits.initialize(2)
    with pytest.raises(
        UsageError, match=r"as many members everywhere; got 1 and 2. For one .* write one\[\[0\] \* 2\]"
    ):
        barrier(digits, one, two)
    for options, words in (
        ({"points": 2}, "at least 3"),
        ({"resamples": 10}, "at least 39"),
        ({"statistics": "frozen"}, "recompute, interpolate"),
        ({"on": []}, "at least one set"),
        ({"on": "tests"}, "train, test"),
    ):
        with pytest.raises(UsageError, match=words):
            barrier(digits, one, one, **options)


def test_a_line_that_is_not_finite_somewhere_has_no_barrier() -> None:
    problem = problem_of(lambda at: at[0] ** 2 + 1e-3 / at[0].abs() ** 0.5, 1)
    first, second = place(problem, [-1.0], [1.0]), place(problem, [1.0], [2.0])
    found = barrier(problem, first, second, points=5, resamples=39)
    assert np.isnan(found["loss barrier"]).tolist() == [[True, False]]
    assert np.isnan(found["loss"]).sum() == 1
    assert not found.intervals()[0].known
    assert "not finite at 1 of 10 points" in found.reading.notes[-1]
    found.figure().to_matplotlib()


@pytest.mark.parametrize("points", [9, 12])
def test_a_height_has_one_value_by_whichever_instrument(
    digits: tw.Problem, pairs: tuple[tw.Population, tw.Population], points: int
) -> None:
    found = barrier(digits, *pairs, points=points, on="test", resamples=0)
    line = tw.evaluation.lines(digits, *pairs, points=points, on="test")
    assert (found["loss barrier"] > 0.01).all()
    assert line["loss barrier"] == pytest.approx(found["loss barrier"][0], rel=1e-5)
    assert line["accuracy barrier"] == pytest.approx(found["error barrier"][0], abs=1e-7)
    counts = found["error barrier, over mean"][0] * 360 * 2  # of the mean of two ends there are halves
    assert counts == pytest.approx(counts.round(), abs=1e-4)
