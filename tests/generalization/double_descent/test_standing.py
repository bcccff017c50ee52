"""Where a run of one's own stands."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import thalweg as tw
from thalweg.errors import DataError, UsageError
from thalweg.generalization.double_descent import Standing, where_am_i
from thalweg.generalization.double_descent.changed_labels import changed_labels, share_followed
from thalweg.results import Reading


def test_a_wide_network_meets_its_labels_and_a_linear_one_of_few_inputs_does_not() -> None:
    data = tw.data.digits().subset(train=150)
    wide = tw.Problem(lambda: tw.nets.mlp(64, 256, 10), data)
    run = tw.train(wide, tw.Recipe(tw.optim.Adam(5e-3), 300, 50), seeds=3)
    standing = where_am_i(wide, run, noise=0.4, progress=None)
    assert standing["followed"].tolist() == [1, 1, 1]
    assert standing.followed.low > 0.9
    assert "at or past the threshold" in standing.text
    assert "no interval" not in standing.text
    assert standing.effective_parameters.estimate == pytest.approx(150 * standing.followed.estimate)
    assert standing.cost_of_noise.low > 0
    assert standing.gains["early stopping, noisy labels"].estimate > 5
    assert "effective parameters for 150 examples" in standing.text
    assert standing.figure().panels[0].y.text == "test error (points)"
    narrow = tw.Problem(lambda: tw.nets.mlp(64, 2, 10), data)
    run = tw.train(narrow, tw.Recipe(tw.optim.Adam(5e-3), 300, 50), seeds=3)
    below = where_am_i(narrow, run, progress=None)
    assert below.followed.estimate < 0.5
    assert below.followed.high < 0.9
    assert "below the threshold" in below.text


def test_each_member_follows_noise_of_its_own_as_least_squares_would() -> None:
    data = tw.data.gaussian_linear(60, 12, noise=0.5, test=200)
    problem = tw.Problem(lambda: tw.nets.mlp(12, 1, bias=False), data, "squared_error", dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.2), 500), seeds=12)
    standing = where_am_i(problem, run, noise=1.0, members=12, progress=None)
    x, added = problem.data.train.inputs, changed_labels(problem, 1.0, range(12), 0).changes
    projected = added @ x @ torch.linalg.pinv(x)
    expected = (projected * added).sum(1) / (added * added).sum(1)
    np.testing.assert_allclose(standing["followed"], expected, rtol=1e-6)
    assert standing["followed"].std() * 60 > 1  # the doubt of one draw of noise
    assert standing.effective_parameters.low < 12 < standing.effective_parameters.high  # the trace of the projection
    assert "below the threshold" in standing.text
    torch.testing.assert_close(
        added.std(1), torch.full((12,), float(problem.data.train.targets.std()), dtype=torch.float64), rtol=0.4, atol=0
    )


def test_a_regression_that_meets_its_targets_is_past_the_threshold() -> None:
    data = tw.data.gaussian_linear(10, 40, noise=0.5, test=100)
    problem = tw.Problem(lambda: tw.nets.mlp(40, 1, bias=False), data, "squared_error", dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.05), 500), seeds=2)
    standing = where_am_i(problem, run, members=2, progress=None)
    assert standing.followed.low == pytest.approx(1)
    assert "at or past the threshold" in standing.text


@pytest.mark.parametrize("kind", [torch.float32, torch.int64])
def test_answers_of_yes_or_no_are_flipped(kind: torch.dtype) -> None:
    digits = tw.data.digits().subset(train=60, test=200)
    parts = [
        (part.inputs, torch.stack([part.targets < 5, part.targets % 2 == 0], 1).to(kind))
        for part in (digits.train, digits.test)
    ]
    parts[0][1][:6, 0] = -1
    problem = tw.Problem(
        lambda: tw.nets.mlp(64, 128, 2), tw.data.from_user(*parts), tw.losses.Logistic(ignore_index=-1)
    )
    found = changed_labels(problem, 0.5, [0, 1, 2], seed=0)
    clean = parts[0][1].reshape(-1)
    for own, where in zip(found.sets, found.where, strict=True):
        now = own.targets.reshape(-1)
        assert own.targets.dtype == parts[0][1].dtype
        assert (now[where] == 1 - clean[where]).all()
        assert (now[~where] == clean[~where]).all()
        assert not where[clean == -1].any()
        assert int(where.sum()) == found.count == 57
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(1e-2), 150), seeds=3)
    standing = where_am_i(problem, run, noise=0.5, progress=None)
    assert 54 < standing.effective_parameters.estimate <= 60
    assert standing.reading.units["error"] == "points"


def test_labels_that_cannot_be_changed_are_refused() -> None:
    x = torch.randn(40, 3)
    between = tw.Problem(lambda: tw.nets.mlp(3, 1), (x, torch.full((40, 1), 0.5)), "logistic")
    with pytest.raises(UsageError, match="each of them is 0 or 1"):
        changed_labels(between, 0.2, [0, 1], 0)

    def mine(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(out, target)

    own = tw.Problem(lambda: tw.nets.mlp(3, 1), (x, (x[:, :1] > 0).float()), mine)
    with pytest.raises(UsageError, match='train with loss="logistic"'):
        changed_labels(own, 0.2, [0, 1], 0)
    same = tw.Problem(lambda: tw.nets.mlp(3, 1), (x, torch.ones(40, 1)), "squared_error")
    with pytest.raises(UsageError, match="are the same"):
        changed_labels(same, 0.2, [0, 1], 0)


def test_shares_of_labels_have_intervals_over_members() -> None:
    every = share_followed([1.0, 1.0, 1.0], 60)
    n = 180 * (stats.t.ppf(0.975, 179) / stats.t.ppf(0.975, 2)) ** 2
    assert (every.low, every.high) == (pytest.approx(0.025 ** (1 / n)), 1)
    assert share_followed([0.0] * 3, 60).high == pytest.approx(1 - every.low)
    assert share_followed([1.0, 1.0], 60).low < 0.5  # two members tell little
    many = share_followed([0.5] * 400, 50)  # of many members it is that of independent labels
    expected = stats.binomtest(10_000, 20_000).proportion_ci(method="exact")
    assert (many.low, many.high) == (pytest.approx(expected.low, abs=2e-4), pytest.approx(expected.high, abs=2e-4))
    assert share_followed([0.7, 0.99, 0.8], 1_000).low < 0.6  # as members differ, labels of one do not count as many
    assert share_followed([0.3, 0.3], None).known
    assert not share_followed([0.3], None).known


@pytest.mark.parametrize("correlation", [0.02, 0.1])
def test_intervals_of_shares_cover_where_members_differ(correlation: float) -> None:
    draw, share = np.random.default_rng(0), 0.9
    spread = (1 - correlation) / correlation
    covered = []
    for _ in range(500):
        own = draw.beta(share * spread, (1 - share) * spread, 4)
        found = share_followed(draw.binomial(60, own) / 60, 60)
        covered.append(found.low <= share <= found.high)
    assert np.mean(covered) > 0.93


def test_what_is_the_same_of_every_member_is_said_without_an_interval() -> None:
    error = np.zeros((2, 3, 3)) + np.array([50.0, 20.0, 10.0])[None, :, None]
    error[1] += 5
    reading = Reading(
        "Where the run stands",
        {"error": error, "followed": np.ones(3)},
        {"error": ("labels", "step", "seed"), "followed": ("seed",)},
        {"labels": np.array(["clean labels", "noisy labels"]), "step": np.arange(3), "seed": np.arange(3)},
        {"error": "points"},
        sample_size=3,
    )
    text = Standing(reading, 300, 0.2, 60).text
    assert "no interval" not in text
    assert "at or past the threshold" in text
    assert "costs 5 points of every member" in text
    assert "early stopping, noisy labels: nothing, of any member" in text
    few = Standing(reading, 300, 0.2, 10).text
    assert "3 members with 10 changed labels each do not tell; take more members" in few


def test_weight_decays_are_tried_where_a_rule_has_them() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 64, 10), tw.data.digits().subset(train=100))
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(1e-2), 60, 50), seeds=2)
    standing = where_am_i(problem, run, decays=[1.0], members=2, progress=None)
    assert "noisy labels, decay 1" in standing.gains
    assert len(standing.reading.notes) == 1
    metrics = {**run.history.metrics, "test_accuracy": run.history["test_accuracy"].copy()}
    metrics["test_accuracy"][-1] -= 0.1
    other = replace(run, history=replace(run.history, metrics=metrics))
    assert "ends up to 0.1 from its test accuracy" in where_am_i(problem, other, members=2, progress=None).remarks()[-1]
    assert standing["error"].shape[0] == 3
    assert (standing["error"][1] != standing["error"][2]).any()


def test_bad_input_is_said() -> None:
    data = tw.data.digits().subset(train=40)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), data)
    recipe = tw.Recipe(tw.optim.SGD(0.1), 2, 20)
    run = tw.train(problem, recipe, seeds=2)
    with pytest.raises(UsageError, match=r"2 to 2 members of this run.*seeds=3"):
        where_am_i(problem, run, members=3)
    with pytest.raises(UsageError, match="has no weight_decay to try"):
        where_am_i(
            problem,
            tw.train(problem, tw.Recipe(tw.optim.SAM(tw.optim.SGD(0.1)), 2, 20), seeds=2),
            members=2,
            decays=[0.1],
        )
    swept = tw.train(problem, tw.Recipe(tw.optim.SGD([0.1, 0.2]), 2, 20), seeds=2)
    with pytest.raises(UsageError, match="a run of one recipe"):
        where_am_i(problem, swept)
    untested = tw.Problem(
        lambda: tw.nets.mlp(64, 10), tw.data.from_user((data.train.inputs, data.train.targets), classes=10)
    )
    with pytest.raises(DataError, match="no test examples"):
        where_am_i(untested, tw.train(untested, recipe, seeds=2), members=2)
    own = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 2, 10), 2, examples=[range(10), range(10, 20)])
    with pytest.raises(UsageError, match="these have their own"):
        where_am_i(problem, own, members=2)
    with pytest.raises(UsageError, match=r"noise=0.01 changes none of the 40 labels.*take a larger share"):
        where_am_i(problem, run, members=2, noise=0.01)


def test_a_run_of_another_procedure_is_refused() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().subset(train=40))
    recipe = tw.Recipe(tw.optim.SGD(0.1), 12, 20)
    run = tw.train(problem, recipe, seeds=2)
    for forked in (
        tw.train(problem, recipe, 2, start=run.final, paired=True),
        tw.train(problem, recipe, 2, start=run.final[0]),
    ):
        with pytest.raises(UsageError, match=r"began at a start of its own.*without start="):
            where_am_i(problem, forked, members=2)
    mask = torch.arange(problem.layout.parameters) % 2 == 0
    with pytest.raises(UsageError, match="has a mask"):
        where_am_i(problem, tw.train(problem, recipe, 2, mask=mask), members=2)
    with pytest.raises(UsageError, match=r"stands at step 7 of 12.*resume=run"):
        where_am_i(problem, tw.train(problem, recipe, 2, until=7), members=2)


def test_a_run_of_another_problem_is_refused() -> None:
    data = tw.data.digits().subset(train=40)
    recipe = tw.Recipe(tw.optim.SGD(0.1), 12, 20)
    run = tw.train(tw.Problem(lambda: tw.nets.mlp(64, 10), data), recipe, seeds=2)
    for other in (
        tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().subset(train=40, seed=1)),
        tw.Problem(lambda: tw.nets.mlp(64, 8, 10), data),
        tw.Problem(lambda: tw.nets.mlp(64, 10), data.with_label_noise(0.2, seed=0).subset(train=40)),
        tw.Problem(lambda: tw.nets.mlp(64, 10), data.subset(test=50)),
    ):
        clean = replace(other.data, flipped=None)
        with pytest.raises(UsageError, match="the problem, with its model, loss and data, that the run was trained on"):
            where_am_i(tw.Problem(other.model, clean), run, members=2)


def test_diverged_members_stand_nowhere() -> None:
    data = tw.data.gaussian_linear(20, 3, test=20)
    problem = tw.Problem(lambda: tw.nets.mlp(3, 1, bias=False), data, "squared_error")
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(1e30), 20), seeds=2)
    with pytest.raises(UsageError, match=r"The run diverged: members \[0, 1\] at steps"):
        where_am_i(problem, run, members=2)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 20), seeds=2)
    with pytest.raises(UsageError, match=r"Training again with noisy labels diverged.*lower learning rate"):
        where_am_i(problem, run, members=2, noise=1e30, progress=None)


class Foreign(torch.nn.Module):
    """A model of somebody else: convolution, normalization, a residual branch, inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.norm = torch.nn.Conv2d(1, 6, 3, padding=1), torch.nn.GroupNorm(2, 6)
        self.mix, self.head = torch.nn.Conv2d(6, 6, 1), torch.nn.Linear(96, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        seen = torch.nn.functional.gelu(self.norm(self.look(image)))
        return self.head(torch.nn.functional.max_pool2d(seen + self.mix(seen), 2).flatten(1))


def test_a_foreign_model_is_told_where_it_stands() -> None:
    digits = tw.data.digits(image=True).subset(train=120, test=300)
    parts = [({"image": part.inputs}, part.targets) for part in (digits.train, digits.test)]
    problem = tw.Problem(Foreign, tw.data.from_user(*parts, classes=10))
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(1e-2), 150, 40), seeds=2)
    before = run.final.theta.clone()
    standing = where_am_i(problem, run, members=2, progress=None)
    assert torch.equal(run.final.theta, before)
    assert 0 < standing["followed"].mean() <= 1
    assert standing["error"].shape[::2] == (2, 2)
    assert (standing["error"][0, -1] == 100 * (1 - run.history["test_accuracy"][-1])).all()


def test_test_examples_of_members_own_stay_theirs() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=60, test=90))
    held = torch.arange(90).view(3, 30)
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(1e-2), 30, evaluate=30), seeds=3, test_examples=held)
    standing = where_am_i(problem, run, members=2, noise=0.5, progress=None)
    np.testing.assert_allclose(standing["error"][0, -1], 100 * (1 - run.history["test_accuracy"][-1, :2]), rtol=1e-5)
    noisy = where_am_i(problem, tw.train(problem, run.recipe, seeds=3), members=2, noise=0.5, progress=None)
    assert not np.allclose(standing["error"][1, -1], noisy["error"][1, -1])  # of all test examples
    assert standing.reading.notes == ("2 members trained again with 2 sets of labels or decays.",)
