"""Where a claim of double descent must not hold: no peak, no second descent, no scales, no noise."""

import math
from dataclasses import replace

import numpy as np
import pytest

import thalweg as tw
from thalweg.claims import Verdict
from thalweg.errors import UsageError
from thalweg.generalization.double_descent import (
    FeatureCurve,
    over_examples,
    over_features,
    over_inputs,
    over_training,
    random_features_risk,
)
from thalweg.studies.double_descent import (
    examples,
    label_noise,
    layer,
    norm,
    peak,
    random_features,
    second_descent,
    stopping,
    training_time,
    widths,
)
from thalweg.studies.lab import Lab

SEEDS = range(600, 610)


@pytest.fixture(scope="module")
def curve() -> FeatureCurve:
    ratios = (0.1, 0.2, 0.3, 0.5, 0.8, 0.96, 1, 1.02, 1.04, 1.5, 3, 20)
    sizes = [round(50 * ratio) for ratio in ratios]
    return over_features(tw.data.digits(), sizes, n=50, scale=0.65, noise=peak.NOISE, seeds=SEEDS)


def with_arrays(curve: FeatureCurve, **arrays: np.ndarray) -> FeatureCurve:
    named = {name.replace("_", " "): array for name, array in arrays.items()}
    return replace(curve, reading=replace(curve.reading, arrays=dict(curve.reading.arrays) | named))


def judged(curve: FeatureCurve) -> Verdict:
    return peak.CLAIM.judge(parts=peak.parts_of(curve), ran={"examples": 400})


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {one.part.id: one.outcome for one in verdict.parts}


def test_there_is_a_peak_and_a_ridge_curve_in_its_place_has_none(curve: FeatureCurve) -> None:
    assert judged(curve).outcome == "holds"
    flat = outcomes(judged(with_arrays(curve, test_error=np.array(curve["ridge error"]))))
    assert {flat[f"{what}, {at}"] for what in ("left", "right") for at in ("0 % noise", "20 % noise")} == {"fails"}


def test_a_ridge_with_a_peak_is_seen(curve: FeatureCurve) -> None:
    spoiled = outcomes(judged(with_arrays(curve, ridge_error=np.array(curve["test error"]))))
    assert {spoiled["ridge, 0 % noise"], spoiled["ridge, 20 % noise"]} == {"fails"}


def test_a_ridge_with_a_bump_inside_a_falling_curve_is_seen(curve: FeatureCurve) -> None:
    """The bump stays below the error at 0.2 n, so the largest over that one would not show it."""
    ridge, first = np.array(curve["ridge error"]), int(np.argmax(curve.sizes >= peak.LATER * 50))
    ridge[:, first + 1 :] *= 0.7
    ridge[:, int(np.argmax(curve.sizes == 50))] *= 1.15
    over_first = np.log(ridge[:, first + 1 :].max(1) / ridge[:, first])
    assert (over_first < 0).all()
    bumped = outcomes(judged(with_arrays(curve, ridge_error=ridge)))
    assert {bumped["ridge, 0 % noise"], bumped["ridge, 20 % noise"]} == {"fails"}
    assert outcomes(judged(curve))["ridge, 0 % noise"] == "holds"


def test_a_random_layer_is_on_the_line_of_its_theory_and_on_no_other() -> None:
    curve = layer.on_layer(Lab(seed=6))
    far = (np.abs(curve.sizes / layer.EXAMPLES - 1) > 0.15) & (curve.sizes < 1_000)
    found, theory = np.log(np.median(curve["test error"][0], 1)[far]), np.log(layer.in_theory(curve.sizes[far]))
    assert np.abs(found - theory).max() < 0.2  # sizes this small are that near the limit
    silent = random_features_risk(curve.sizes[far] / layer.INPUTS, layer.EXAMPLES / layer.INPUTS)  # as without noise
    assert np.abs(found - np.log(silent)).max() > 0.5
    marks = layer.beside_theory(curve).panels[0].marks
    assert [mark.label for mark in marks] == ["median of seeds", "theory of large sizes", "rank = examples"]
    np.testing.assert_allclose(marks[1].y, layer.in_theory(np.asarray(marks[1].x) * layer.EXAMPLES))


def test_limits_are_drawn_on_the_sizes_of_the_curve() -> None:
    isotropic = over_inputs((20, 50, 150, 1_000), n=100, signal=norm.SIGNAL, draws=20)
    limit, ridge = norm.limits(isotropic)
    exact = dict(zip(isotropic.reading.coordinate("theory size"), isotropic["theory"], strict=True))
    far = [place for place, size in enumerate(limit.x) if abs(size - 100) > 30]
    np.testing.assert_allclose(limit.y[far], [exact[limit.x[place]] for place in far], rtol=0.05)  # n is only 100
    assert 100 not in limit.x
    assert (np.diff(ridge.y) > 0).all()  # no peak
    curve = over_examples((50, 100, 300), inputs=100, noise=examples.NOISE, draws=20)
    drawn = examples.limit(curve)
    at = [int(np.argmin(np.abs(np.asarray(drawn.x) - size))) for size in (50, 100, 300)]
    np.testing.assert_allclose(drawn.y[at], curve["ridge risk"].mean(1), rtol=0.03)


def test_a_peak_elsewhere_is_not_at_the_threshold(curve: FeatureCurve) -> None:
    moved = np.roll(curve["test error"], 2, axis=1)  # now at 1.04 n, and then at 1.5 n
    far = np.roll(curve["test error"], 3, axis=1)
    assert outcomes(judged(with_arrays(curve, test_error=far)))["place, 0 % noise"] == "fails"
    assert outcomes(judged(with_arrays(curve, test_error=moved)))["place, 0 % noise"] == "holds"
    never = np.ones_like(curve["train error"])  # where labels are never met there is no threshold
    assert outcomes(judged(with_arrays(curve, train_error=never)))["place, 0 % noise"] == "fails"


def test_few_examples_decide_no_second_descent_and_isotropic_inputs_have_none(curve: FeatureCurve) -> None:
    theory = tw.generalization.double_descent.isotropic_risk(50, curve.sizes, signal=5**0.5)
    isotropic = np.broadcast_to(np.minimum(theory, 1e6)[None, :, None], curve["test error"].shape)
    noisy = isotropic * np.exp(0.01 * np.random.default_rng(0).standard_normal(isotropic.shape))
    logs = second_descent.second_over_first(with_arrays(curve, test_error=noisy))
    parts = {f"{100 * noise:g} % noise": tw.statistics.mean(logs[0]) for noise in peak.SCORED}
    verdict = second_descent.CLAIM.judge(parts=parts, ran={"examples": 400})
    assert verdict.outcome == "fails"
    assert second_descent.CLAIM.judge(parts=parts, ran={"examples": 100}).outcome == "undecided"


def test_the_noise_at_which_a_sign_turns() -> None:
    levels = np.array(peak.NOISE)
    assert second_descent.turning(levels, np.array([-2.0, -1.0, -1.0, 1.0])) == pytest.approx(0.3)
    assert math.isnan(second_descent.turning(levels, np.array([-2.0, -1.0, -1.0, -0.5])))


def test_noise_that_is_none_raises_nothing(curve: FeatureCurve) -> None:
    """Levels of noise that are each a further clean draw."""
    clean = over_features(tw.data.digits(), [49, 51, 52, 1_000], n=50, scale=0.65, noise=(0.0,), seeds=range(600, 640))
    height = np.log(clean.at(51)[0]).reshape(4, 10)
    parts = {name: tw.statistics.mean(values) for name, values in label_noise.rises(height).items()}
    assert label_noise.CLAIM.judge(parts=parts, ran={"examples": 100}).outcome != "holds"
    rises = label_noise.rises(np.log(curve.at(51)))
    assert all(values.mean() > 0 for values in rises.values())
    assert list(rises) == ["0 to 10 %", "10 to 20 %", "20 to 40 %"]


def test_a_wrong_theory_is_told(curve: FeatureCurve) -> None:
    linear = tw.generalization.double_descent.over_inputs((50, 90, 110, 200), draws=100, seed=600)
    right = norm.exactly(linear, "isotropic")
    assert right["isotropic"].estimate < 4
    wrong = np.asarray(linear["exact risk"]) - 1.0  # as if the noise were less
    spoiled = replace(
        linear, reading=replace(linear.reading, arrays=dict(linear.reading.arrays) | {"exact risk": wrong})
    )
    assert norm.exactly(spoiled, "isotropic")["isotropic"].estimate > 4
    weak = linear["risk"] * np.where(np.arange(100) < 3, 30.0, 1.0)  # weak data do not pass, whatever they say
    spoiled = replace(linear, reading=replace(linear.reading, arrays=dict(linear.reading.arrays) | {"risk": weak}))
    assert norm.exactly(spoiled, "isotropic")["isotropic, precision"].estimate > 0.1
    assert norm.exchanged(linear) > 4


def test_the_ridgeless_limit_is_finite() -> None:
    norms, least = norm.ridgeless_limit(30, 600)
    assert norms[-1] == pytest.approx(least, rel=1e-3)
    assert (np.diff(norms) > -1e-9).all()


def test_one_scale_does_not_come_down_again() -> None:
    one = training_time.changes(over_training(training_time.steps(), variances=(1.0, 1.0), seeds=range(600, 620)))
    two = training_time.changes(over_training(training_time.steps(), seeds=range(600, 620)))
    rule = training_time.CLAIM.parts[1].rule
    ends = {name: tw.statistics.mean(of["down"]) for name, of in (("one", one), ("two", two))}
    assert rule.judge(ends["one"].low, ends["one"].high) == "fails"
    assert rule.judge(ends["two"].low, ends["two"].high) == "holds"


def test_a_network_whose_error_only_scatters_does_not_go_up() -> None:
    steps = np.unique(np.geomspace(10, 1_500, 40).round()).astype(int)
    rule = next(part.rule for part in training_time.CLAIM.parts if part.id == "network, up")

    def outcome(rise: float) -> tuple[str, np.ndarray]:
        wrong = 0.1 + 0.005 * np.random.default_rng(0).standard_normal((1, len(steps), 6))
        wrong[:, steps > 750] += rise
        dims, coordinates = {"wrong": ("size", "step", "seed")}, {"size": [256], "step": steps, "seed": range(6)}
        found = training_time.of_network(
            widths.NetworkCurve(tw.Reading("Networks over width", {"wrong": wrong}, dims, coordinates), ())
        )
        judged = tw.statistics.mean(found["network, up"])
        return rule.judge(judged.low, judged.high), 100 * (wrong[0, steps > 750].mean(0) - wrong[0].min(0))

    flat, over_least = outcome(0.0)
    assert flat == "undecided"
    assert tw.statistics.mean(over_least).low > 0  # against the least before, any flat curve goes up
    assert outcome(0.05)[0] == "holds"
    assert outcome(-0.05)[0] == "fails"


def test_the_device_of_a_lab_is_where_networks_are_trained() -> None:
    lab = Lab(device="nowhere")
    for trained in (
        lambda: widths.on_digits(lab, 0.2, (8,)),
        lambda: widths.on_signals(lab),
        lambda: widths.over_layers(lab),
        lambda: training_time.networks(lab),
        lambda: stopping.digits_runs(lab, 0.2),
        lambda: stopping.modular_runs(lab),
    ):
        with pytest.raises(UsageError, match="nowhere"):
            trained()


def test_without_noise_more_data_never_hurt() -> None:
    few = over_examples(examples.SIZES, noise=1e-9, draws=50, seed=600)
    assert examples.numbers_of(few)["place"].max() == 0
    usual = examples.numbers_of(over_examples(examples.SIZES, draws=50, seed=600))
    assert usual["place"].min() == 1
    assert usual["ridge"].max() < 0


def test_on_one_scale_short_patience_loses_nothing_and_the_last_step_does() -> None:
    lab = Lab(seed=6)
    one = stopping.linear_runs(lab, variances=(1.0, 1.0)).scores
    two = stopping.linear_runs(lab).scores
    lost = tw.statistics.mean(two[stopping.PATIENCE] - two[stopping.BEST])
    margin = stopping.MARGIN[stopping.LOGS]
    assert np.abs(one[stopping.PATIENCE] - one[stopping.BEST]).max() < margin < lost.low
    assert (one[stopping.LAST] - one[stopping.BEST]).mean() > 0.02


def test_a_rule_that_is_best_everywhere_refutes_the_claim() -> None:
    steps = np.array([1.0, 2, 4, 8, 16, 32, 64])
    falling = np.tile(np.linspace(60, 0, 7), (4, 1)) + np.arange(4)[:, None] * 0.01
    falling[:, -2:] = np.array([[0.3, 0.2], [0.1, 0.2], [0.2, 0.1], [0.2, 0.3]])  # what is kept last differs a little
    validation = falling.copy()
    validation[::2, -1] += 1
    runs = stopping.Watched(steps, np.ones((4, 7)), validation, falling)
    verdict = stopping.CLAIM.judge(parts=stopping.judged(dict.fromkeys(stopping.UNITS, runs)))
    assert verdict.outcome == "fails"
    assert outcomes(verdict)[stopping.NOISY] == "holds"


def test_widths_that_err_alike_have_no_peak() -> None:
    draw = np.random.default_rng(0)
    arrays = {"wrong": 0.2 + 0.001 * draw.standard_normal((3, 2, 6)), "train wrong": np.zeros((3, 6))}
    curve = widths.NetworkCurve(
        tw.Reading(
            "Networks over width",
            arrays,
            {"wrong": ("size", "step", "seed"), "train wrong": ("size", "seed")},
            {"size": [8, 40, 512], "step": [1, 2], "seed": range(6)},
        ),
        (),
    )
    parts = {part.id: widths.UNKNOWN for part in widths.CLAIM.parts} | widths.judged(curve, "digits")
    verdict = widths.CLAIM.judge(parts=parts, ran={"data sets": 2})
    assert outcomes(verdict)["digits, left"] == outcomes(verdict)["digits, right"] == "fails"
    assert outcomes(verdict)["MNIST-1D, left"] == "undecided"


def test_a_width_between_that_stands_out_is_seen_wherever_it_is() -> None:
    rule = next(part.rule for part in widths.CLAIM.parts if part.id == "digits, clean")
    scatter = 0.3 * np.random.default_rng(0).standard_normal((9, 8))
    falling = np.array([9.0, 8, 5.5, 5, 4.6, 4.4, 4.1, 4, 3.9])[:, None] + scatter

    def outcome(errors: np.ndarray) -> str:
        found = tw.statistics.mean(widths.standing_out(errors))
        return rule.judge(found.low, found.high)

    assert outcome(falling) == "holds"
    assert outcome(falling[::-1]) == "holds"
    for place in range(3, 8):
        bumped = falling.copy()
        bumped[place] += 2.5
        assert (bumped[place] < falling[0]).all()  # against the narrowest alone it would not be seen
        assert outcome(bumped) == "fails"


def test_scatter_alone_makes_no_width_stand_out() -> None:
    draw = np.random.default_rng(0)
    found = np.array([widths.standing_out(draw.standard_normal((9, 8))).mean() for _ in range(300)])
    assert abs(found.mean()) < 0.2  # in standard deviations of one network; the largest of each seed is about 1.3


def test_the_runs_are_those_of_the_design() -> None:
    assert len(random_features.RATIOS) == 28
    assert set(peak.SCORED) <= set(peak.NOISE)
    assert set(widths.DIGITS["quick"]) <= set(widths.DIGITS["full"])
    assert {training_time.FIRST, training_time.PEAK, training_time.SECOND} <= set(training_time.steps().tolist())
