"""The noise of judges: planted components come back, sums are exact, ensembles are as predicted."""

import copy
import itertools

import numpy as np
import pytest

from thalweg.errors import DataError, UsageError
from thalweg.generalization.bias_variance import COMPONENTS, audit_predictions, ensembles_of_predictions
from thalweg.generalization.bias_variance.grams import CROSSED, DESIGNS, NESTED, Grams, components, left_over
from thalweg.generalization.bias_variance.mean_squares import coefficients, mean_squares

PLANTED = {"bias^2": 1.5, "level": 1.0, "stable pattern": 0.6, "occasion level": 0.4, "occasion pattern": 0.8}
SHARED = 0.5  # of the occasion noise, where seeds are crossed


def errors_of(draw: np.random.Generator, design: str, shape: tuple[int, int, int, int] = (8, 4, 60, 2)) -> np.ndarray:
    """Errors with the planted components, summed over two outputs: (judges, occasions, cases, outputs)."""
    judges, occasions, cases, outputs = shape

    def noise(size: float, *of: int) -> np.ndarray:
        return np.sqrt(size / outputs) * draw.normal(size=(*of, outputs))

    common = design == CROSSED
    level, pattern = (PLANTED[f"occasion {name}"] for name in ("level", "pattern"))
    return (
        noise(PLANTED["bias^2"], 1, 1, cases)
        + noise(PLANTED["level"], judges, 1, 1)
        + noise(PLANTED["stable pattern"], judges, 1, cases)
        + noise(level - common * 0.2, judges, occasions, 1)
        + noise(pattern - common * 0.3, judges, occasions, cases)
        + common * (noise(0.2, 1, occasions, 1) + noise(0.3, 1, occasions, cases))
    )


def of_blocks(errors: np.ndarray, judges: int, occasions: int) -> float:
    """Mean squared error of means of that many fits, over ensembles without overlap that are next to each other."""
    j, r, cases, outputs = errors.shape
    kept = errors[: j // judges * judges, : r // occasions * occasions]
    means = kept.reshape(j // judges, judges, r // occasions, occasions, cases, outputs).mean((1, 3))
    return float((means**2).sum(-1).mean())


@pytest.mark.parametrize("design", DESIGNS)
def test_planted_components_are_recovered_and_sum_to_the_error(design: str) -> None:
    draw, found = np.random.default_rng(0), []
    for _ in range(300):
        errors = errors_of(draw, design)
        parts = components(Grams.of(errors), design)
        assert abs(sum(parts[name] for name in COMPONENTS) - (errors**2).sum(-1).mean()) < 1e-12
        found.append([parts[name] for name in (*COMPONENTS, "shared")])
    wanted = np.array([*PLANTED.values(), SHARED if design == CROSSED else 0.0])
    error = np.std(found, 0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, 0) - wanted) <= 4 * error).all()
    assert (error < 0.06).all()  # close enough to tell


def test_crossed_seeds_taken_for_nested_ones_are_not() -> None:
    draw = np.random.default_rng(1)
    found = [components(Grams.of(errors_of(draw, CROSSED, (4, 4, 60, 2))), NESTED) for _ in range(300)]
    stable = np.array([one["stable pattern"] for one in found])
    assert abs(stable.mean() - PLANTED["stable pattern"]) > 4 * stable.std() / np.sqrt(len(stable))


@pytest.mark.parametrize("design", DESIGNS)
def test_components_by_case_average_to_those_of_all(design: str) -> None:
    errors = errors_of(np.random.default_rng(2), design)
    found = audit_predictions(errors, np.zeros(errors.shape[2:]), seeds=design)
    assert found["bias^2 by case"].mean() == pytest.approx(found["bias^2"], abs=1e-12)
    assert found["judges by case"].mean() == pytest.approx(found["level"] + found["stable pattern"], abs=1e-12)
    occasions = found["occasion level"] + found["occasion pattern"]
    assert found["occasions by case"].mean() == pytest.approx(occasions, abs=1e-12)
    assert sum(float(found[name]) for name in COMPONENTS) == pytest.approx(float(found["mse"]), abs=1e-12)


@pytest.mark.parametrize("design", DESIGNS)
def test_left_out_components_are_those_of_the_others(design: str) -> None:
    """The jackknife by products is that of the errors themselves."""
    errors = errors_of(np.random.default_rng(3), design, (3, 3, 8, 2))
    found = audit_predictions(errors, np.zeros((8, 2)), seeds=design)
    squares = 0.0
    for axis in (0, 2, *([1] if design == CROSSED else [])):
        n = errors.shape[axis]
        without = [components(Grams.of(np.delete(errors, one, axis)), design)["level"] for one in range(n)]
        squares += (n - 1) / n * ((without - np.mean(without)) ** 2).sum()
    assert float(found.reading.standard_errors["level"]) == pytest.approx(np.sqrt(squares), rel=1e-9)


@pytest.mark.parametrize("design", DESIGNS)
def test_components_are_sums_of_mean_squares(design: str) -> None:
    grams = Grams.of(errors_of(np.random.default_rng(10), design, (5, 3, 8, 2)))
    found, squares = components(grams, design), mean_squares(grams, design, 2)
    for name in COMPONENTS[1:]:
        parts = [by * squares[of].value for of, by in coefficients(name, grams, design).items()]
        assert sum(parts) == pytest.approx(found[name], abs=1e-12)


def test_effective_degrees_of_freedom() -> None:
    """Those of outputs that are alike are those of one, and of many that are independent as many as these."""
    draw = np.random.default_rng(11)
    one = draw.normal(size=(5, 4, 1, 1)) + draw.normal(size=(5, 4, 6, 1))
    for outputs in (1, 3):
        squares = mean_squares(Grams.of(np.repeat(one, outputs, -1)), NESTED, outputs)
        assert (squares["judge level"].degrees, squares["own level"].degrees) == pytest.approx((4, 15))
    many = mean_squares(Grams.of(draw.normal(size=(5, 4, 6, 2_000))), NESTED, 2_000)
    assert many["judge level"].degrees == pytest.approx(4 * 2_000, rel=0.2)
    low, high = squares["own level"].ends()
    assert 15 * squares["own level"].value / low == pytest.approx(27.488, abs=1e-3)  # 97.5 % of chi-square with 15
    assert 15 * squares["own level"].value / high == pytest.approx(6.262, abs=1e-3)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("judges", [4, 8])
def test_intervals_cover_what_was_planted(judges: int, design: str) -> None:
    draw, names = np.random.default_rng(4), (*COMPONENTS, "mse")
    covered, wanted = np.zeros(len(names)), PLANTED | {"mse": sum(PLANTED.values())}
    for _ in range(200):
        errors = errors_of(draw, design, (judges, 4, 60, 1))
        found = audit_predictions(errors, np.zeros((60, 1)), seeds=design)
        covered += [found.interval(name).low < wanted[name] < found.interval(name).high for name in names]
    assert (covered / 200 > 0.91).all(), dict(zip(names, covered / 200, strict=True))


@pytest.mark.parametrize("design", DESIGNS)
def test_what_averaging_leaves_is_predicted(design: str) -> None:
    draw, said, measured = np.random.default_rng(5), [], []
    for _ in range(200):
        parts = components(Grams.of(errors_of(draw, design)), design)
        other = errors_of(draw, design)
        said.append([left_over(parts, *size) for size in ((1, 1), (1, 4), (8, 1), (8, 4))])
        measured.append([of_blocks(other, *size) for size in ((1, 1), (1, 4), (8, 1), (8, 4))])
    apart = np.array(said) - measured
    assert (np.abs(apart.mean(0)) < 4 * apart.std(0) / np.sqrt(len(apart))).all()
    naive = np.mean(measured, 0)[0] / np.array([4, 8, 32])
    assert (naive < 0.6 * np.mean(measured, 0)[1:]).all()  # error / k: bias is not removed


def test_ensembles_of_one_half_are_predicted_by_the_other() -> None:
    fits = errors_of(np.random.default_rng(7), NESTED, (16, 4, 400, 2))
    found = ensembles_of_predictions(fits, np.zeros((400, 2)), [(1, 4), (8, 1), (8, 4)])
    assert (np.abs(found["miss"]) < 0.35).all()  # levels of 8 judges are noisy
    assert (found["miss"] != 0).all()
    other_way = np.concatenate([fits[8:], fits[:8]])
    swapped = ensembles_of_predictions(other_way, np.zeros((400, 2)), [(1, 4), (8, 1), (8, 4)])
    assert (np.abs(found["miss"] + swapped["miss"]) < 0.5 * np.abs(found["miss"])).all()  # both ways all but cancel
    found.figure().to_matplotlib()


@pytest.mark.parametrize("half", [4, 8, 16])
def test_intervals_of_ensembles_cover_what_was_planted(half: int) -> None:
    """Of sizes at the ends, and of those between, where few of the ensembles that can be made do not overlap."""
    draw, sizes, covered = np.random.default_rng(12), [(1, 4), (2, 1), (2, 2), (half // 2 + 1, 3), (half, 4)], []
    for _ in range(200):
        biases = 1.5 * float((copy.deepcopy(draw).normal(size=60) ** 2).mean())  # of these cases, what is drawn first
        parts = PLANTED | {"bias^2": biases, "shared": 0.0}
        wanted = [left_over(parts, j, r) / (sum(PLANTED.values()) - 1.5 + biases) for j, r in sizes]
        found = ensembles_of_predictions(errors_of(draw, NESTED, (2 * half, 4, 60, 1)), np.zeros((60, 1)), sizes)
        for (j, r), share in zip(sizes, wanted, strict=True):
            each = [found.interval(name, f"{j} x {r}") for name in ("predicted share", "measured share", "miss")]
            covered.append([one.low < of < one.high for one, of in zip(each, (share, share, 0.0), strict=True)])
    shares = np.mean(np.reshape(covered, (200, len(sizes), 3)), 0)
    assert (shares[:, :2] > 0.87).all(), shares
    assert (shares[:, 2] > 0.92).all(), shares


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (2, 2), (3, 2)])
def test_what_is_measured_is_the_mean_error_of_all_ensembles_that_can_be_made(
    design: str, size: tuple[int, int]
) -> None:
    """Of judges that are averaged on seeds of their own, or where these are crossed on the same."""
    errors, fits = errors_of(np.random.default_rng(13), design, (6, 3, 10, 2)), []
    for judges in itertools.combinations(range(3, 6), size[0]):
        chosen = list(itertools.combinations(range(3), size[1]))
        for own in (
            itertools.product(chosen, repeat=size[0]) if design == NESTED else [[one] * size[0] for one in chosen]
        ):
            mean = np.mean([errors[judge, list(some)].mean(0) for judge, some in zip(judges, own, strict=True)], 0)
            fits.append((mean**2).sum(-1).mean())
    found = ensembles_of_predictions(errors, np.zeros((10, 2)), [size], seeds=design)
    assert found["measured"][0] == pytest.approx(np.mean(fits), abs=1e-12)
    share = np.mean(fits) / (errors[3:] ** 2).sum(-1).mean()
    assert found["measured share"][0] == pytest.approx(share, abs=1e-12)


def test_two_judges_a_half_have_no_interval() -> None:
    errors = errors_of(np.random.default_rng(14), NESTED, (4, 2, 20, 1))
    found = ensembles_of_predictions(errors, np.zeros((20, 1)))
    assert found.reading.coordinate("ensemble").tolist() == ["1 x 2", "2 x 1", "2 x 2"]
    assert not found.interval("miss", "2 x 1").known
    with pytest.raises(UsageError, match="predicted share"):
        found.interval("predicted", "2 x 1")
    with pytest.raises(UsageError, match="1 x 2"):
        found.interval("miss", "3 x 1")


def test_judges_that_agree_gain_nothing_and_fits_without_error_are_refused() -> None:
    agree = ensembles_of_predictions(np.ones((6, 2, 5)), np.zeros(5))
    np.testing.assert_allclose(agree["measured share"], 1)
    assert (agree.interval("miss", "3 x 2").low, agree.interval("miss", "3 x 2").high) == (0, 0)
    with pytest.raises(UsageError, match="no error at all"):
        ensembles_of_predictions(np.zeros((6, 2, 5)), np.zeros(5))
    with pytest.raises(UsageError, match="pairs"):
        ensembles_of_predictions(np.ones((4, 2, 5)), np.zeros(5), [3])  # pyrefly: ignore


def test_shuffled_judges_have_neither_level_nor_pattern() -> None:
    draw = np.random.default_rng(8)
    grams = Grams.of(errors_of(draw, NESTED, (16, 4, 100, 2)))
    shuffled = [components(grams.shuffled(draw.permutation(64)), NESTED) for _ in range(200)]
    for name in ("level", "stable pattern"):
        values = np.array([one[name] for one in shuffled])
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
        assert abs(values.mean()) < 0.05 * PLANTED[name]


def test_one_judge_twice_has_no_noise_of_judges() -> None:
    one = np.random.default_rng(9).normal(size=(1, 3, 50))
    found = audit_predictions(np.concatenate([one, one]), np.zeros(50), seeds=CROSSED)
    assert abs(found["stable pattern"]) < 1e-12
    assert not found.interval("level").known  # of two judges nothing can be left out
    found.figure().to_matplotlib()


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 4, 5), "take two of them"),
        ((4, 1, 5), "second occasion"),
        ((4, 4, 1), "Level noise"),
        ((4, 5), r"\(judges, occasions, cases"),
        ((4, 4, 6), r"\(judges, occasions, cases"),
    ],
)
def test_what_cannot_be_meant(shape: tuple[int, ...], sentence: str) -> None:
    cases = 1 if shape == (4, 4, 1) else 5
    with pytest.raises(UsageError, match=sentence):
        audit_predictions(np.zeros(shape), np.zeros(cases))


def test_further_sentences() -> None:
    lost = np.zeros((3, 2, 4))
    lost[1, 1, 0] = np.inf
    with pytest.raises(DataError, match="judge 1 on occasion 1"):
        audit_predictions(lost, np.zeros(4))
    with pytest.raises(UsageError, match="one-hot"):
        audit_predictions(np.zeros((3, 2, 4, 10)), np.zeros(4, int))
    with pytest.raises(UsageError, match="nested, crossed"):
        audit_predictions(np.zeros((3, 2, 4)), np.zeros(4), seeds="mixed")
    with pytest.raises(UsageError, match="four judges"):
        ensembles_of_predictions(np.zeros((3, 2, 4)), np.zeros(4))
    with pytest.raises(UsageError, match="1 to 2 judges"):
        ensembles_of_predictions(np.zeros((4, 2, 4)), np.zeros(4), [(3, 1)])
