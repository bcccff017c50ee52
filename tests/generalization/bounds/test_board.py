"""The board of trained networks: what is vacuous on them and what is not, planted nulls, refusals."""

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.data import Data, Examples
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import bounds
from thalweg.generalization.bounds import Board
from thalweg.generalization.bounds.of_checkpoint import measured_bits
from thalweg.progress import Progress

SEEDS = [500, 501]
DIGITS = tw.data.digits().subset(train=500, test=300)


def trained(problem: tw.Problem, steps: int, rate: float = 3e-3, seeds: list[int] = SEEDS) -> tw.Population:
    recipe = tw.Recipe(tw.optim.Adam(rate), steps=steps, batch_size=100, evaluate=1)
    return tw.train(problem, recipe, seeds=seeds, progress=None).final


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 64, 10), DIGITS)


@pytest.fixture(scope="module")
def board(problem: tw.Problem) -> Board:
    initial = problem.initialize(SEEDS)
    return bounds.board(problem, trained(problem, 400), initial=initial, held_out="test", draws=20, progress=None)


def test_the_classical_families_are_vacuous_and_hold_out_is_not(board: Board) -> None:
    assert (board["training error"] < 0.02).all()
    for row in board.rows:
        if row.about == "the network" and row.family != "hold-out":
            assert (row.bound > 1).all(), row.family
            assert row.vacuous(10).all()
    assert (board.row("hold-out").bound < 0.2).all()
    assert (board.row("hold-out").bound >= board["held-out error"]).all()


def test_dropping_constants_only_makes_it_smaller(board: Board) -> None:
    for printed, bare in (
        ("Golowich, Frobenius norms", "Golowich, constants dropped"),
        ("Bartlett, spectral norms", "Bartlett, constants dropped"),
    ):
        assert (board.row(bare).bound < board.row(printed).bound).all()
        assert board.row(bare).generous
        assert not board.row(printed).generous


def test_it_is_shown(board: Board) -> None:
    table = board.table()
    assert table.columns["vacuous"].tolist()[-1] == "0 of 2"
    assert board.table(1).columns["vacuous"].tolist()[-1] == "no"
    assert not np.isnan(board["bound"]).any()
    figure = board.figure()
    (panel,) = figure.panels
    assert panel.y.names[-1] == "finite class"
    assert {mark.hollow for mark in panel.marks if hasattr(mark, "hollow")} == {True, False}
    assert figure.png()[:4] == b"\x89PNG"
    assert board.figure(0).panels[0].marks[0].x.size < panel.marks[0].x.size
    with pytest.raises(UsageError, match="no member 2"):
        board.table(2)
    with pytest.raises(UsageError, match="no family"):
        board.row("astrology")


def test_the_same_code_says_not_vacuous_where_it_is_not() -> None:
    """A 5-3-2 network on 50,000 examples of a teacher: counting and covering then say something, and are no lie."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(50_000, 5, generator=draw).clamp(-2, 2)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).long()
    problem = tw.Problem(lambda: tw.nets.mlp(5, 3, 2), (Examples(x, y)), "cross_entropy")
    final = trained(problem, 300, rate=0.02, seeds=[500])
    board = bounds.board(problem, final, progress=None)
    assert board["training error"][0] < board.row("VC, ReLU networks").bound[0] < 1
    for family in ("cover of the parameters", "VC, parameters as dimension", "finite class"):
        row = board.row(family)
        assert board["training error"][0] < row.bound[0] < 0.5, family
        assert not row.vacuous(2)[0]


def test_on_random_labels_no_bound_says_anything() -> None:
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(10, (200,), generator=draw)
    data = Data(Examples(torch.as_tensor(DIGITS.train.inputs)[:200], labels), classes=10)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 200, 10), data)
    final = trained(problem, 600)
    told: list[Progress] = []
    board = bounds.board(problem, final, initial=problem.initialize(SEEDS), draws=10, progress=told.append)
    done = [one.done for one in told if one.label == "bounds, draws"]
    assert done == sorted(done)
    assert done[-1] == 30  # with 4 for each of five sizes to choose by
    assert (board["training error"] < 0.1).all()
    for row in board.rows:
        assert (row.bound >= 0.9).all(), row.family


def test_a_linear_model_has_the_bound_of_linear_models() -> None:
    problem = tw.Problem(lambda: nn.Linear(64, 10), DIGITS)
    board = bounds.board(problem, trained(problem, 100), progress=None)
    assert np.isfinite(board.row("Rademacher, linear").bound).all()


def test_a_model_that_is_no_chain_keeps_the_other_families() -> None:
    data = tw.data.digits(image=True).subset(train=60, test=60)
    problem = tw.Problem(lambda: tw.nets.resnet(4), data)
    first = problem.initialize(1)
    board = bounds.board(problem, first, initial=first, held_out="test", progress=None)
    families = [row.family for row in board.rows]
    assert not any(family.startswith("PAC-Bayes") for family in families)  # of running statistics there is no prior
    assert measured_bits(first) > 0
    assert "hold-out" in families
    assert "Bartlett, spectral norms" not in families
    assert any("left out" in note for note in board.reading.notes)


def test_a_network_that_diverged_has_no_bound_and_no_nan(problem: tw.Problem) -> None:
    broken = problem.initialize(2)
    theta = broken.theta.clone()
    theta[0] = torch.nan
    theta[1, 0] = torch.inf
    board = bounds.board(
        problem, broken.with_theta(theta), initial=problem.initialize(2), held_out="test", draws=2, progress=None
    )
    assert not np.isnan(board["bound"]).any()
    assert not np.isnan(board["error"]).any()
    assert board["vacuous"][:, 0].all()


def test_what_is_held_out_was_not_trained_on(problem: tw.Problem) -> None:
    with pytest.raises(UsageError, match="share 500 of 500 examples, so what is held out was trained on"):
        bounds.board(problem, problem.initialize(1), held_out="train", progress=None)
    train = problem.data.train
    assert isinstance(train, Examples)
    some = train.select(torch.arange(30))
    with pytest.raises(UsageError, match="share 30 of 30"):
        bounds.board(problem, problem.initialize(1), held_out=some, progress=None)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 2])
def test_a_confidence_that_is_none_is_refused(problem: tw.Problem, delta: float) -> None:
    with pytest.raises(UsageError, match="above 0 and below 1"):
        bounds.board(problem, problem.initialize(1), delta=delta, progress=None)


def test_answers_that_are_not_right_or_wrong_are_refused() -> None:
    data = tw.data.gaussian_linear(20, 3, test=0)
    problem = tw.Problem(lambda: nn.Linear(3, 1), (data.train.inputs, data.train.targets), "squared_error")
    with pytest.raises(ModelError, match="share of wrong answers"):
        bounds.board(problem, problem.initialize(1), progress=None)


def test_rows_of_other_networks_are_refused(board: Board) -> None:
    row = bounds.BoundRow("mine", np.array([0.2]), np.array([0.1]), "networks drawn around it", 100, 0.95)
    with pytest.raises(UsageError, match="of 2 networks"):
        board.with_rows([row])
    both = bounds.BoundRow("mine", np.array([0.2, 0.3]), np.array([0.1, 0.1]), "the network", 100, 0.95)
    more = board.with_rows([both])
    assert [one.family for one in more.rows] == [*(one.family for one in board.rows), "mine"]
    with pytest.raises(UsageError, match="already"):
        more.with_rows([both])


def test_boards_of_networks_with_examples_of_their_own_are_one(problem: tw.Problem, board: Board) -> None:
    others = tw.Problem(problem.model, tw.data.digits().split_anew(500, seed=5))
    other = bounds.board(
        others,
        trained(others, 20),
        initial=others.initialize(SEEDS),
        held_out=tw.Sample("test", 300),
        draws=20,
        progress=None,
    )
    both = bounds.side_by_side([board, other])
    assert both["bound"].shape == (len(board.rows), 4)
    for name in ("bound", "error", "training error", "held-out error"):
        np.testing.assert_array_equal(both[name], np.concatenate([board[name], other[name]], -1))
    fewer = tw.Problem(problem.model, tw.data.digits().split_anew(400, seed=5))
    with pytest.raises(UsageError, match="same families on as many examples"):
        bounds.side_by_side([board, bounds.board(fewer, fewer.initialize([0]), progress=None)])
    with pytest.raises(UsageError, match="at least one"):
        bounds.side_by_side([])
