"""What is no number, all the same or there twice: refused in a sentence, or right."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.data import Data, Examples
from thalweg.errors import UsageError
from thalweg.generalization import simplicity

DRAW = np.random.default_rng(0)
POINTS = DRAW.normal(size=(300, 3))


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600])
def test_the_dimension_does_not_know_the_unit(scale: float) -> None:
    """Squared distances of such points are 0, or infinite, in floating point."""
    found, plain = (simplicity.intrinsic_dimension(x, clones=1) for x in (POINTS * scale, POINTS))
    assert found["dimension"] == plain["dimension"]
    assert found["clone dimension"] == pytest.approx(plain["clone dimension"])


def test_copies_that_differ_by_rounding_count_once() -> None:
    """Their distances are of the rounding, and made the dimension of such data next to 0."""
    x = torch.from_numpy(DRAW.normal(size=(200, 8))).float()
    copies = torch.nextafter(x, x + 1)
    found, plain = (simplicity.intrinsic_dimension(one, clones=0) for one in (torch.cat([x, copies]), x))
    assert found["points"] == 200
    assert found["dimension"] == pytest.approx(plain["dimension"], rel=0.05)


def test_points_too_near_for_their_squares_leave_a_number() -> None:
    near = np.array([[5e-324, 0, 0], [0, 0, 0], [1e-323, 0, 0]])
    found = simplicity.intrinsic_dimension(np.concatenate([POINTS, near]), clones=0)
    assert 2 < found["dimension"] < 4
    assert found["points"] == 301


def test_a_grid_has_no_two_distances() -> None:
    grid = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), -1).reshape(-1, 2)
    with pytest.raises(UsageError, match="equally far, as on a grid"):
        simplicity.intrinsic_dimension(grid)


@pytest.mark.parametrize("inputs", [np.zeros((10, 0)), np.full((9, 2), np.nan), np.ones((9, 2)), np.zeros((0, 3))])
def test_points_that_have_no_dimension_are_refused(inputs: np.ndarray) -> None:
    with pytest.raises(UsageError, match="intrinsic_dimension"):
        simplicity.intrinsic_dimension(inputs)


def test_a_string_that_libraries_have_counted_as_eight_has_six_words() -> None:
    row = [int(letter) for letter in "1001111011000010"]  # 1 . 0 . 01 . 1110 . 1100 . 0010
    assert simplicity.lempel_ziv_words([row]).tolist() == [6]


def test_letters_are_no_bits() -> None:
    with pytest.raises(UsageError, match="lempel_ziv_words needs a table"):
        simplicity.lempel_ziv_words([["0", "1"]])  # type: ignore[arg-type]


def of_one_label(examples: int = 30) -> tw.Problem:
    x = torch.from_numpy(DRAW.normal(size=(examples, 4))).float()
    data = Data(*(Examples(x + shift, torch.zeros(examples, dtype=torch.long)) for shift in (0, 1)), classes=3)
    return tw.Problem(lambda: tw.nets.mlp(4, 8, 3), data)


def test_a_network_that_diverged_answers_nothing() -> None:
    """The largest of outputs that are no numbers would be the first class, and right where that is."""
    problem = of_one_label()
    start = problem.initialize(2)
    theta = start.theta.clone()
    theta[0] = torch.nan
    population = start.with_theta(theta)
    found = simplicity.symmetry(problem, population, simplicity.rolls([0, 1]))
    assert np.isnan(found["equivariance error"][0]).all()
    assert found["equivariance error"][1, 0] == 0
    for name in ("accuracy", "agreement"):
        assert found[name][0].tolist() == [0, 0]
    assert found["accuracy as is"][0] == 0
    cloned = simplicity.distributional(problem, population, clones=20)
    assert (cloned["accuracy"][0] == 0).all()


def test_the_best_linear_model_of_one_label_says_it() -> None:
    data = of_one_label().data
    assert data.test is not None
    assert simplicity.best_linear(data.train, data.test).tolist() == [0] * 30


def test_directions_of_inputs_that_do_not_differ_are_refused() -> None:
    with pytest.raises(UsageError, match="all the same"):
        simplicity.principal_directions(np.ones((5, 2)), 1)
    for inputs in (np.full((5, 2), np.nan), np.ones((0, 2))):
        with pytest.raises(UsageError, match="finite numbers"):
            simplicity.principal_directions(inputs, 1)


def test_a_kernel_that_learns_nothing_takes_for_ever() -> None:
    x, y = DRAW.normal(size=(2, 30, 1))
    assert simplicity.kernel_half_times(np.zeros((30, 30)), y, x) == (np.inf, np.inf)
    with pytest.raises(UsageError, match="finite numbers"):
        simplicity.kernel_half_times(np.full((30, 30), np.nan), y, x)


def test_modes_that_do_not_grow_are_refused() -> None:
    for singular, start in ((0.0, 0.1), (1.0, 0.0), (1.0, np.nan)):
        with pytest.raises(UsageError, match="singular and start above 0"):
            simplicity.mode_strength(1.0, singular, start)


def test_a_copy_with_no_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="corrupted classes"):
        simplicity.corrupted([0, 1], [0, 1], 0.5, classes=0)
