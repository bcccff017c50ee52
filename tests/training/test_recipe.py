import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from thalweg import optim, sweep
from thalweg.errors import UsageError
from thalweg.evaluation import Sample
from thalweg.schedules import Constant, Cosine, Linear, OneCycleMomentum, Scheduled, Warmup
from thalweg.training import MemberGrid, Recipe

SGD = optim.SGD(0.1)


def groups(grid, examples):
    return [(group.rows, group.batch_size) for group in grid.groups(examples)]


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Recipe(SGD, 0), "Recipe steps must be a whole number of at least 1; got 0"),
        (lambda: Recipe(SGD, -3), "Recipe steps must be a whole number of at least 1; got -3"),
        (lambda: Recipe(SGD, 1.5), "Recipe steps must be a whole number of at least 1; got 1.5"),
        (lambda: Recipe(0.1, 5), r"Recipe optimizer must be a rule such as optim.AdamW\(lr=1e-3\); got 0.1"),
        (lambda: Recipe(SGD, 5, batch_size=0), "batch_size must be a whole number of at least 1, or None.*; got 0"),
        (lambda: Recipe(SGD, 5, batch_size=2.5), "batch_size must be a whole number of at least 1.*; got 2.5"),
        (lambda: Recipe(SGD, 5, batch_size=sweep.values([4, 0])), "batch_size must be a whole number"),
        (lambda: Recipe(SGD, 5, spacing="cubic"), "Recipe spacing is one of linear, log; got 'cubic'"),
        (lambda: Recipe(SGD, 5, evaluate=-1), r"Recipe evaluate must be a count, or steps from 0 to 5; got \[-1\]"),
        (lambda: Recipe(SGD, 5, evaluate=(1, 6)), r"Recipe evaluate must be .* from 0 to 5; got \[6\]"),
        (lambda: Recipe(SGD, 5, snapshot=[-1]), r"Recipe snapshot must be .* from 0 to 5; got \[-1\]"),
        (lambda: Recipe(SGD, 5, clip_norm=0), "Recipe clip_norm must be positive, or None for no clipping; got 0"),
        (lambda: Recipe(SGD, 5, clip_norm=float("nan")), "Recipe clip_norm must be positive"),
        (lambda: Recipe(SGD, True), "Recipe steps must be a whole number of at least 1; got True"),
        (lambda: Recipe(SGD, 5, float("inf")), "Recipe batch_size must be a whole number of at least 1"),
        (lambda: Recipe(SGD, 5, float("nan")), "Recipe batch_size must be a whole number of at least 1"),
        (lambda: Recipe(SGD, 5, evaluate=float("nan")), "Recipe evaluate must be how many steps, or a list of steps"),
        (lambda: Recipe(SGD, 5, evaluate=True), "Recipe evaluate must be how many steps, or a list of steps"),
        (lambda: Recipe(SGD, 5, clip_norm=sweep.values([1, -1])), "Recipe clip_norm must be positive"),
        (lambda: Recipe(SGD, 5, evaluate=None), "Recipe evaluate must be how many steps, or a list of steps; got None"),
        (
            lambda: Recipe(SGD, 5, evaluate="all"),
            "Recipe evaluate must be how many steps, or a list",
        ),
        (lambda: Recipe(SGD, 5, snapshot=[0.5]), "Recipe snapshot must be how many steps, or a list of steps"),
        (lambda: Recipe(SGD, 5, batch_size="8"), "Recipe batch_size must be a number, a list of numbers or a sweep"),
        (lambda: Recipe(SGD, 5, clip_norm="1"), "Recipe clip_norm must be a number, a list of numbers or a sweep"),
        (lambda: Recipe(SGD, 5, schedule=Cosine), "Recipe schedule must be a schedule such as schedules.Cosine"),
        (
            lambda: Recipe(SGD, 5, evaluate_train_on=200),
            r'evaluate_train_on must be a Sample of the training set such as Sample\("train", 200\); got 200',
        ),
        (lambda: Recipe(SGD, 5, evaluate_train_on=None), "evaluate_train_on must be a Sample of the training set"),
        (
            lambda: Recipe(SGD, 5, evaluate_train_on=Sample("test")),
            "must be a Sample of the training set .*; other examples are evaluated after training, by evaluate",
        ),
    ],
)
def test_recipes_that_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()


def test_counted_steps_lie_evenly_with_both_ends() -> None:
    assert Recipe(SGD, 100, evaluate=4).evaluation_steps == [0, 25, 50, 75, 100]
    assert Recipe(SGD, 10, evaluate=0).evaluation_steps == [0, 10]
    assert Recipe(SGD, 3, evaluate=50).evaluation_steps == [0, 1, 2, 3]
    assert Recipe(SGD, 1000, evaluate=4, spacing="log").evaluation_steps == [0, 1, 10, 100, 1000]
    assert Recipe(SGD, 10, evaluate=(3, 3, 1)).evaluation_steps == [0, 1, 3, 10]
    assert Recipe(SGD, 10).snapshot_steps == []
    assert Recipe(SGD, 10, snapshot=2).snapshot_steps == [0, 5, 10]
    assert Recipe(SGD, 10, snapshot=[7, 0]).snapshot_steps == [0, 7]


def test_sweeps_are_crossed_with_each_other_and_with_seeds_which_vary_fastest() -> None:
    recipe = Recipe(
        optim.AdamW(lr=sweep.values([1, 2]), weight_decay=sweep.values([0.5, 0.6, 0.7])),
        5,
        batch_size=sweep.values([8, 4]),
    )
    grid = MemberGrid(recipe, [9, 3])
    assert grid.members == 24
    cells = list(zip(*(grid.axes[name].tolist() for name in grid.axes), strict=True))
    assert list(grid.axes) == ["batch_size", "lr", "weight_decay", "seed"]
    wanted = [(b, lr, w, s) for b in (8, 4) for lr in (1, 2) for w in (0.5, 0.6, 0.7) for s in (9, 3)]
    assert cells == wanted
    assert grid.seeds == [9, 3] * 12
    assert groups(grid, 10) == [(slice(0, 12), 8), (slice(12, 24), 4)]


def test_sweeps_on_one_axis_go_together() -> None:
    pairs = {"lr": sweep.values([0.1, 0.2], axis="pair"), "beta": sweep.values([0.5, 0.9], axis="pair")}
    grid = MemberGrid(Recipe(optim.Momentum(**pairs), 5), [0, 1])
    assert grid.axes["lr"].tolist() == [0.1, 0.1, 0.2, 0.2]
    assert grid.axes["beta"].tolist() == [0.5, 0.5, 0.9, 0.9]
    assert grid.axes["pair"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("points", [[0.1, 0.2], np.array([0.1, 0.2]), torch.DoubleTensor([0.1, 0.2])])
def test_lists_go_together(points: Any) -> None:
    grid = MemberGrid(Recipe(optim.Momentum(lr=points, beta=[0.5, 0.9]), 5), [0])
    assert grid.axes["lr"].tolist() == [0.1, 0.2]
    assert grid.axes["beta"].tolist() == [0.5, 0.9]


def test_lengths_that_do_not_match_name_both() -> None:
    with pytest.raises(UsageError, match=r"axis 'configuration' .* one length: lr has 2 values, beta has 3"):
        MemberGrid(Recipe(optim.Momentum(lr=[0.1, 0.2], beta=[0.5, 0.6, 0.7]), 5), [0])
    clash = Recipe(SGD, 5, clip_norm=sweep.values([1, 2], axis="a"), schedule=Warmup(sweep.values([1, 2, 3], axis="a")))
    with pytest.raises(UsageError, match=r"axis 'a' .*: clip_norm has 2 values, schedule.warmup has 3"):
        MemberGrid(clash, [0])
    with pytest.raises(UsageError, match='A sweep may not use the axis "seed"'):
        MemberGrid(Recipe(optim.SGD(sweep.values([0.1, 0.2], axis="seed")), 5), [0])


def test_a_batch_larger_than_the_data() -> None:
    grid = MemberGrid(Recipe(SGD, 5, batch_size=sweep.values([8, 65])), [0])
    with pytest.raises(UsageError, match=r"batch_size=65 is larger than the training set of 64 examples; write"):
        grid.groups(64)
    assert groups(grid, 65) == [(slice(0, 1), 8), (slice(1, 2), 65)]
    assert groups(MemberGrid(Recipe(SGD, 5), [0, 1]), 64) == [(slice(0, 2), 64)]


def test_values_of_a_step_are_numbers_or_columns() -> None:
    recipe = Recipe(
        optim.AdamW(lr=sweep.values([0.1, 0.2]), beta1=0.8, weight_decay=sweep.values([0.3, 0.3], axis="w")),
        10,
        schedule=Cosine(warmup=sweep.values([2, 4], axis="lr")),
    )
    h = MemberGrid(recipe, [0]).at(3)
    multipliers = [0.5 * (1 + math.cos(math.pi / 8)), 3 / 4]
    wanted = [0.1 * multipliers[0], 0.1 * multipliers[0], 0.2 * multipliers[1], 0.2 * multipliers[1]]
    assert h.lr.shape == (4, 1)
    np.testing.assert_allclose(h.lr.flatten().numpy(), wanted, rtol=1e-14)
    np.testing.assert_allclose(h.schedule.flatten().numpy(), np.repeat(multipliers, 2), rtol=1e-14)
    assert (h.beta1, h.weight_decay, h.step) == (0.8, 0.3, 3)


def test_a_schedule_alone_may_be_swept() -> None:
    grid = MemberGrid(Recipe(optim.SGD(0.5), 10, schedule=Cosine(final=sweep.values([0.0, 1.0]))), [0, 1])
    assert grid.axes["schedule.final"].tolist() == [0, 0, 1, 1]
    assert grid.at(10).lr.flatten().tolist() == pytest.approx([0, 0, 0.5, 0.5], abs=1e-15)


def test_schedules_within_schedules_may_be_swept() -> None:
    joined = Warmup(sweep.values([2, 4])).then(Cosine(final=sweep.values([0.0, 0.5])).scaled(0.8), 5)
    grid = MemberGrid(Recipe(optim.SGD(0.5), 10, schedule=joined), [0])
    assert list(grid.axes) == ["schedule.first.warmup", "schedule.second.of.final", "seed"]
    cells = list(zip(grid.axes["schedule.first.warmup"], grid.axes["schedule.second.of.final"], strict=True))
    for step in (1, 3, 5, 6, 10):
        alone = [Warmup(w).then(Cosine(final=f).scaled(0.8), 5) for w, f in cells]
        wanted = [0.5 * float(one(step, 10)) for one in alone]
        got = torch.as_tensor(grid.at(step).lr, dtype=torch.float64).expand(4, 1).flatten()
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-14, atol=1e-16)


def test_any_number_may_follow_a_schedule_of_its_own() -> None:
    rates, rises = sweep.values([0.1, 0.2], axis="it"), sweep.values([0.3, 0.5], axis="it")
    rule = optim.AdamW(rates, Scheduled(0.95, OneCycleMomentum(rises)), weight_decay=Scheduled(0.5, Cosine()))
    grid = MemberGrid(Recipe(rule, 100, schedule=Warmup(10)), [0])
    assert grid.axes["beta1.schedule.rise"].tolist() == [0.3, 0.5]
    for step in (1, 5, 30, 77, 100):
        h = grid.at(step)
        beta = [0.95 * OneCycleMomentum(rise)(step, 100) for rise in (0.3, 0.5)]
        np.testing.assert_allclose(np.ravel(h.beta1) * np.ones(2), beta, rtol=1e-12)
        np.testing.assert_allclose(np.ravel(h.lr), np.array([0.1, 0.2]) * min(1, step / 10), rtol=1e-12)
        assert h.weight_decay == pytest.approx(0.5 * Cosine()(step, 100))
        assert (h.beta2, h.eps) == (0.999, 1e-8)


def test_a_scheduled_rate_follows_the_recipes_schedule_as_well() -> None:
    grid = MemberGrid(Recipe(optim.SGD(Scheduled(0.5, Cosine())), 100, schedule=Warmup(10)), [0])
    for step in (1, 9, 50):
        assert grid.at(step).lr == pytest.approx(0.5 * Cosine()(step, 100) * min(1, step / 10))


def test_around_a_rule_numbers_follow_schedules_too() -> None:
    rule = optim.SAM(optim.Muon(fallback=optim.AdamW(1e-3, Scheduled(0.9, Linear(1, 0.5)))), Scheduled(0.1, Cosine()))
    h = MemberGrid(Recipe(rule, 10), [0]).at(10)
    assert h.numbers["rho"] == pytest.approx(0.0)
    assert h.numbers["fallback.beta1"] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            lambda: optim.Adam(1e-3, Scheduled(0.9, Linear(1, 1.2))),
            r"beta1 must lie in \[0, 1\).*to 1\.0008\d* at step 56",
        ),
        (lambda: optim.Adam(1e-3, Scheduled(1.5, Cosine())), "Adam beta1 must lie in"),
        (lambda: optim.Adam(1e-3, Scheduled("0.9", Cosine())), "Scheduled value must be a number"),
        (lambda: optim.Adam(1e-3, Scheduled(0.9, 3)), "Scheduled schedule must be a schedule such as"),
    ],
)
def test_a_schedule_that_leads_out_of_range_is_found_before_the_first_step(rule: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        MemberGrid(Recipe(rule(), 100), [0])


def test_a_description_tells_recipes_apart_and_not_their_making() -> None:
    def recipe(**changes: Any) -> Recipe:
        return Recipe(optim.AdamW(lr=sweep.log(1e-3, 1e-1, 3)), 10, **changes)

    assert recipe().describe() == recipe(schedule=Constant()).describe()
    json.dumps(recipe().describe(), allow_nan=False)
    others = [
        recipe(batch_size=4),
        recipe(schedule=Warmup(3)),
        recipe(clip_norm=1.0),
        recipe(evaluate=3),
        recipe(evaluate_train_on=Sample("train", 5)),
        recipe(evaluate_train_on=Sample("train", 5, seed=1)),
        dataclasses.replace(recipe(), steps=11),
        dataclasses.replace(recipe(), optimizer=optim.Adam(lr=sweep.log(1e-3, 1e-1, 3))),
        dataclasses.replace(recipe(), optimizer=optim.AdamW(lr=sweep.log(1e-3, 1e-1, 3), eps_place="inside")),
    ]
    assert len({json.dumps(other.describe(), sort_keys=True) for other in [recipe(), *others]}) == 1 + len(others)
