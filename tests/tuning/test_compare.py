"""Rules compared at equal expense, on problems whose answers are known or found by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from tuning.bowl import bowl, loss_of, noisy

import thalweg as tw
from thalweg import optim, sweep, tuning
from thalweg.errors import UsageError
from thalweg.progress import Progress
from thalweg.schedules import Linear
from thalweg.tuning import Range
from thalweg.tuning.candidate import Candidate


def test_compare_finds_the_known_winner_at_equal_expense() -> None:
    ranges = {"lr": Range(0.01, 10)}
    rules = {"SGD": (optim.SGD, ranges), "momentum": (lambda lr: optim.Momentum(lr, 0.5), ranges)}
    seen: list[str] = []
    found = tuning.compare(
        {"bowl": bowl()},
        rules,
        steps=15,
        trials=40,
        scoring_seeds=3,
        progress=lambda progress: seen.append(progress.label),
    )
    rates = tuning.halton(40, ranges, seed=0)["lr"]
    losses = [loss_of(rate, 15) for rate in rates]
    assert found.best["bowl"]["SGD"] == {"lr": rates[np.argmin(losses)]}
    np.testing.assert_allclose(found.losses[0, 0], min(losses), rtol=1e-9)
    assert found.losses.shape == found.steps.shape == (1, 2, 3)
    assert (found.losses[0, 1] < found.losses[0, 0]).all()
    assert found.scores["momentum"] == 1.0
    assert found.warnings == ()
    assert {"SGD on bowl", "momentum on bowl"} == set(seen)
    np.testing.assert_array_equal(found["train_loss"], found.losses)
    assert [mark.label for mark in found.figure().panels[0].marks][1] == "momentum, score 1.00"
    worst = found.tuned.max()
    assert found.targets[0] == pytest.approx(worst + 0.05 * (2.5 - worst))
    assert np.isfinite(found.steps).all()


def test_a_comparison_is_a_reading_and_a_table_with_its_cost() -> None:
    rules = {"SGD": (optim.SGD, {"lr": Range(0.01, 1)}), "wild": (optim.SGD, {"lr": Range(100, 1000)})}
    found = tuning.compare({"bowl": bowl(), "again": bowl()}, rules, steps=10, trials=4, tuning_seeds=2, seed=3)
    np.testing.assert_array_equal(found.reading.coordinate("seed"), [5, 6, 7, 8, 9])
    assert found.cost.backwards == 2 * 2 * (4 * 2 + 5) * 10
    table = found.table()
    assert list(table.columns["problem"]) == ["bowl", "bowl", "again", "again"]
    assert list(table.columns["rule"]) == ["SGD", "wild"] * 2
    assert table.columns["best"][0] == f"lr={found.best['bowl']['SGD']['lr']:.3g}"
    np.testing.assert_allclose(table.columns["train_loss"], found.losses.mean(2).ravel())
    np.testing.assert_array_equal(table.columns["steps to target"], found.costs.ravel())
    assert found.reading.select("problem", "bowl").select("rule", "SGD").figure() is not None
    assert found.figure().to_json()


def test_progress_is_that_of_the_whole_comparison() -> None:
    seen: list[tuple[int, int]] = []
    rules = {"SGD": (optim.SGD, {"lr": Range(0.1, 1)}), "Adam": (optim.Adam, {"lr": Range(0.1, 1)})}
    tuning.compare({"bowl": bowl()}, rules, steps=4, trials=3, progress=lambda p: seen.append((p.done, p.total)))
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert len(seen) == 2 * 2 * 4
    assert seen[-1] == (88, 88)  # 2 rules x (3 x 2 + 5) members x 4 steps
    assert {total for _, total in seen} == {88}


def test_a_rule_may_be_made_of_numbers_that_are_no_fields_of_it() -> None:
    ranges = {"rate": Range(0.01, 0.4), "one_minus_beta": Range(0.05, 1)}
    made = {"momentum": (lambda rate, one_minus_beta: optim.Momentum(rate, 1 - one_minus_beta), ranges)}
    found = tuning.compare({"bowl": bowl()}, made, steps=20, trials=12, tuning_seeds=1, scoring_seeds=1)
    points = tuning.halton(12, ranges, seed=0)
    losses = [
        float(tw.train(bowl(), tw.Recipe(optim.Momentum(rate, 1 - far), 20)).history.final("train_loss")[0])
        for rate, far in zip(points["rate"], points["one_minus_beta"], strict=True)
    ]
    pick = int(np.argmin(losses))
    assert found.best["bowl"]["momentum"] == {name: values[pick] for name, values in points.items()}
    np.testing.assert_allclose(found.losses[0, 0, 0], losses[pick], rtol=1e-9)


def test_compare_warns_of_a_best_value_at_the_end_of_its_range_and_survives_divergence() -> None:
    rules = {"SGD": (optim.SGD, {"lr": Range(1e-4, 1e-2)}), "wild": (optim.SGD, {"lr": Range(10, 1000)})}
    found = tuning.compare({"bowl": bowl()}, rules, steps=200, trials=16, search="grid", targets={"bowl": 0.1})
    assert "lr of SGD on bowl, 0.01, lies at the upper end" in found.warnings[0]
    assert found.warnings[1] == "Every trial of wild on bowl diverged with some seed: search smaller values."
    assert np.isinf(found.losses[0, 1]).all()
    assert np.isinf(found.costs[0, 1])
    assert found.scores["wild"] == 0.0


def test_an_end_is_a_twentieth_of_a_range_for_points_and_the_last_value_of_a_grid() -> None:
    entry = (optim.SGD, {"lr": Range(1e-4, 1)})
    points, grid = (Candidate.of("SGD", entry, search, 50, 0) for search in ("halton", "grid"))
    warned = [bool(points.warnings("bowl", trial)) for trial in range(50)]
    shares = [np.log10(points.values(trial)["lr"]) / 4 + 1 for trial in range(50)]
    assert warned == [share <= 0.05 or share >= 0.95 for share in shares]
    assert 2 <= sum(warned) <= 8
    assert [trial for trial in range(50) if grid.warnings("bowl", trial)] == [0, 49]
    assert grid.warnings("bowl", 0) == [
        "The best lr of SGD on bowl, 0.0001, lies at the lower end of its range: one beyond could be better."
    ]


def test_of_a_few_points_the_smallest_and_the_largest_tried_are_ends_too() -> None:
    few = Candidate.of("SGD", (optim.SGD, {"lr": Range(1e-4, 1)}), "halton", 5, 3)
    order = few.points["lr"].argsort()
    assert all(0.05 < few.ranges["lr"].share(rate) < 0.95 for rate in few.points["lr"])
    assert [trial for trial in order if few.warnings("bowl", trial)] == [order[0], order[-1]]
    assert "is the smallest of 5 tried: one nearer to the end could be better." in few.warnings("bowl", order[0])[0]
    assert "is the largest of 5 tried" in few.warnings("bowl", order[-1])[0]


def test_beyond_an_end_that_no_rule_can_pass_nothing_could_be_better() -> None:
    ranges = {"lr": Range(0.1, 1), "weight_decay": Range(0, 0.1, log=False)}
    decay = Candidate.of("SGD", (optim.SGD, ranges), "grid", 9, 0)
    where = {trial: " ".join(decay.warnings("bowl", trial)) for trial in range(9)}
    found = {decay.values(trial)["weight_decay"]: "best weight_decay" in text for trial, text in where.items()}
    assert found == {0.0: False, 0.05: False, 0.1: True}
    made = (lambda lr, far: optim.Momentum(lr, 1 - far), {"lr": Range(0.1, 1), "far": Range(0.5, 1, log=False)})
    momentum = Candidate.of("momentum", made, "grid", 4, 0)
    texts = [" ".join(momentum.warnings("bowl", trial)) for trial in range(4)]
    assert [("best far" in text, momentum.values(trial)["far"]) for trial, text in enumerate(texts)] == [
        (True, 0.5),
        (False, 1.0),
        (True, 0.5),
        (False, 1.0),
    ]


def test_what_diverges_has_lost_even_if_it_was_at_the_target_before() -> None:
    """Growing rates pass by the minimum on their way out; they are scored infinite, not in few steps."""
    rules = {"wild": (optim.SGD, {"lr": Range(20, 30)}), "SGD": (optim.SGD, {"lr": Range(0.01, 0.4)})}
    found = tuning.compare({"bowl": bowl()}, rules, steps=300, trials=4, schedule=Linear(0, 1))
    assert np.isinf(found.losses[0, 0]).all()
    assert np.isinf(found.steps[0, 0]).all()
    assert found.scores == {"wild": 0.0, "SGD": 1.0}


class Quartic(nn.Module):
    """theta from [0, 2], for the loss theta^4 / 4, on which descent by a rate of 1 diverges from beyond sqrt(2)."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(2 * torch.rand(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta + 0 * x


def test_a_seed_that_diverges_when_scored_has_not_reached_the_target() -> None:
    data = (torch.zeros(4, 1), torch.zeros(4))
    problem = tw.Problem(Quartic, data, lambda o, t: o.squeeze(-1) ** 4 / 4, dtype=torch.float64)
    starts = [float(problem.initialize([seed]).theta) for seed in range(40)]
    seed = next(s for s in range(34) if max(starts[s : s + 2]) < 1.3 and max(starts[s + 2 : s + 5]) > 1.7)
    rules = {"SGD": (optim.SGD, {"lr": Range(0.9, 1.0)})}
    options: dict[str, Any] = {"steps": 30, "trials": 2, "scoring_seeds": 3, "targets": {"quartic": 10.0}}
    found = tuning.compare({"quartic": problem}, rules, seed=seed, **options)
    gone = np.isinf(found.losses[0, 0])
    assert gone.tolist() == [start > 1.7 for start in starts[seed + 2 : seed + 5]]
    np.testing.assert_array_equal(found.steps[0, 0], np.where(gone, np.inf, 1))


def test_every_rule_is_given_as_many_trials_on_a_grid() -> None:
    ranges = {"lr": Range(0.01, 1), "weight_decay": Range(1e-4, 1e-2), "beta": Range(0.1, 0.9, log=False)}
    of = lambda count: dict(list(ranges.items())[:count])  # noqa: E731
    candidates = [Candidate.of("momentum", (_momentum, of(count)), "grid", 15, 3) for count in (1, 2, 3)]
    assert [len(candidate.trials) for candidate in candidates] == [15, 15, 15]
    two = candidates[1].points
    corners = tuning.grid(3, of(2))
    between = tuning.halton(6, of(2), seed=3)
    for name in two:
        np.testing.assert_array_equal(two[name], [*corners[name], *between[name]])
    found = tuning.compare({"bowl": bowl()}, {"momentum": (_momentum, of(2))}, steps=4, trials=5, search="grid")
    assert found.cost.backwards == (5 * 2 + 5) * 4


def test_a_rule_that_hardly_learns_does_not_set_the_target() -> None:
    rules = {"SGD": (optim.SGD, {"lr": Range(0.1, 0.4)}), "slow": (optim.SGD, {"lr": Range(1e-7, 1e-6)})}
    found = tuning.compare({"bowl": bowl()}, rules, steps=20, trials=4)
    best = found.tuned[0, 0]
    assert found.targets[0] == pytest.approx(best + 0.05 * (2.5 - best))
    assert found.scores == {"SGD": 1.0, "slow": 0.0}
    assert "slow on bowl comes 0.012 % as far down as the best rule: the target is set without it." in found.warnings


def test_where_every_trial_diverges_there_is_no_best_one() -> None:
    seen: list[tuple[int, int]] = []
    rules = {"SGD": (optim.SGD, {"lr": Range(0.1, 0.4)}), "wild": (optim.SGD, {"lr": Range(10, 1000)})}
    progress = lambda progress: seen.append((progress.done, progress.total))  # noqa: E731
    found = tuning.compare({"bowl": bowl()}, rules, steps=400, trials=3, progress=progress)
    assert found.best["bowl"]["wild"] == {}
    assert list(found.table().columns["best"])[1] == "none"
    assert np.isinf(found.losses[0, 1]).all()
    assert seen[-1][0] == seen[-1][1]


def test_what_costs_two_gradients_a_step_is_said() -> None:
    rules = {"SAM": (lambda lr: optim.SAM(optim.SGD(lr)), {"lr": Range(0.01, 0.4)})}
    found = tuning.compare({"bowl": bowl()}, rules, steps=3, trials=3)
    assert (
        found.warnings[0] == "SAM takes two gradients a step, so its steps cost twice those of a rule that takes one."
    )
    assert found.cost.backwards == 2 * 3 * (3 * 2 + 5)


def test_an_optimizer_of_torchs_may_be_made_in_every_trial() -> None:
    make = lambda lr: optim.TorchOptimizer(lr, lambda p: torch.optim.SGD(p, momentum=0.5))  # noqa: E731
    ranges = {"lr": Range(0.05, 0.4)}
    rules = {"torch's": (make, ranges), "ours": (lambda lr: optim.Momentum(lr, 0.5), ranges)}
    found = tuning.compare({"bowl": bowl()}, rules, steps=12, trials=3, tuning_seeds=1, scoring_seeds=2)
    np.testing.assert_allclose(found.losses[0, 0], found.losses[0, 1], rtol=1e-9)


def test_a_comparison_is_what_runs_by_hand_say() -> None:
    """Two problems on which it matters which seeds are tuned on and scored, what is averaged, and by which loss."""
    problems, ranges, rates = {"first": noisy(0), "second": noisy(3)}, {"lr": Range(0.01, 5)}, 6
    common: dict[str, Any] = {"steps": 60, "batch_size": 2, "schedule": Linear()}
    rules = {"SGD": (optim.SGD, ranges), "momentum": (_momentum, ranges)}
    options = {"trials": rates, "scoring_seeds": 3, "metric": "test_loss", "seed": 2}
    found = tuning.compare(problems, rules, **options, **common)
    points = tuning.halton(rates, ranges, seed=2)["lr"]
    assert found.seeds == (4, 5, 6)
    by_first_seed, by_training_loss, by_mean = [], [], []
    for row, (name, problem) in enumerate(problems.items()):
        for column, make in enumerate((optim.SGD, _momentum)):
            recipe = tw.Recipe(make(sweep.values(points.tolist())), evaluate=0, **common)
            history = tw.train(problem, recipe, [2, 3]).history
            tuned = history.final("test_loss").reshape(rates, 2)
            by_first_seed.append(tuned[:, 0].argmin())
            by_training_loss.append(history.final("train_loss").reshape(rates, 2).mean(1).argmin())
            by_mean.append(tuned.mean(1).argmin())
            assert found.best[name][("SGD", "momentum")[column]] == {"lr": points[by_mean[-1]]}
            assert found.tuned[row, column] == pytest.approx(tuned.mean(1).min(), rel=1e-9)
            recipe = tw.Recipe(make(points[by_mean[-1]]), evaluate=60, **common)
            losses = tw.train(problem, recipe, [4, 5, 6]).history["test_loss"]
            np.testing.assert_allclose(found.losses[row, column], losses[-1], rtol=1e-9)
            reached = [
                next((step for step in range(61) if one[step] <= found.targets[row]), np.inf) for one in losses.T
            ]
            np.testing.assert_array_equal(found.steps[row, column], np.maximum(reached, 1))
            assert found.costs[row, column] == sorted(found.steps[row, column])[1]
    assert by_first_seed != by_mean != by_training_loss  # or the problems could not tell one from the other
    assert "Values were chosen on the test examples that they are scored on." in found.reading.notes


def test_where_no_rule_learns_no_target_is_reached() -> None:
    """Neither the loss before training, which step 0 has, nor one above it counts as reached."""
    wild = {"wild": (optim.SGD, {"lr": Range(10, 1000)})}
    found = tuning.compare({"bowl": bowl()}, wild, steps=300, trials=3)
    assert np.isnan(found.targets[0])
    assert np.isinf(found.steps).all()
    assert found.scores == {"wild": 0.0}
    both = wild | {"SGD": (optim.SGD, {"lr": Range(0.01, 0.4)})}
    worse = tuning.compare({"bowl": bowl()}, both, steps=3, trials=3)
    assert (worse.tuned[0, 0] > 2.5).all()
    assert worse.targets[0] == pytest.approx(worse.tuned[0, 1] + 0.05 * (2.5 - worse.tuned[0, 1]))
    assert worse.scores == {"wild": 0.0, "SGD": 1.0}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tuning.compare({}, {"SGD": (optim.SGD, {"lr": Range(1, 2)})}, steps=1), "compare problems must be"),
        (lambda: _compare(search="random"), "compare search is one of halton, grid"),
        (lambda: _compare(metric="loss"), "compare metric is one of"),
        (lambda: _compare(trials=0), "compare trials must be a whole number of at least 1"),
        (lambda: _compare(trials=1.5), "compare trials must be a whole number"),
        (lambda: _compare(search="grid", trials=1), "needs trials of at least 2; SGD has 1"),
        (lambda: _compare(metric="test_loss"), r"problems\['bowl'\] has no test examples"),
        (lambda: _compare(targets={"bowle": 1.0}), "a loss for every problem; 'bowl' has none"),
        (lambda: _compare(targets={"bowl": "low"}), r"targets\['bowl'\] must be a loss"),
        (lambda: _compare(rules={"SGD": optim.SGD}), r"rules\['SGD'\] must be such as"),
        (lambda: _compare(rules={"SGD": (optim.SGD, {"rate": Range(1, 2)})}), r"rules\['SGD'\] cannot be made of rate"),
        (lambda: _compare(rules={"SGD": (optim.SGD, {"lr": (1, 2)})}), r"ranges\['lr'\] must be a Range"),
        (lambda: _compare(rules={"SGD": (lambda lr: lr, {"lr": Range(1, 2)})}), r"rules\['SGD'\] must be a rule"),
        (
            lambda: _compare(rules={"SGD": (_decaying, {"lr": Range(1, 2)})}),
            "SGD sweeps weight_decay: give a Range",
        ),
        (lambda: _compare(rules={"SGD": (optim.SGD, {})}), r"rules\['SGD'\] ranges must be ranges by hyper-parameter"),
        (lambda: _compare(rules={"SOAP": (_soap, {"every": Range(1, 9)})}), "SOAP every is 4 here and 1 there"),
        (
            lambda: _compare(rules={"torch's": (_beta, {"beta": Range(0.1, 0.9)})}),
            "TorchOptimizer make is another function",
        ),
        (lambda: _compare(batch_size=sweep.values([1, 2])), "but batch_size is swept: give a value"),
        (lambda: _compare(schedule=Linear(sweep.values([0.5, 1.0]))), "but schedule.start is swept"),
        (lambda: _compare(seed="a"), "compare seed must be a whole number of at least 0; got 'a'"),
        (lambda: _compare(seed=-1), "compare seed must be a whole number of at least 0; got -1"),
        (lambda: _compare(progress=3), "compare progress must be a function"),
        (
            lambda: _compare(
                problems={"bowl": bowl(), "more": noisy(0), "other": bowl()}, batch_size=5, progress=_untrained
            ),
            r"problems\['bowl'\] cannot be trained so: batch_size=5 is larger than the training set of 4",
        ),
        (
            lambda: _compare(problems={"more": noisy(0), "bowl": bowl()}, batch_size=5, progress=_untrained),
            r"problems\['bowl'\] cannot be trained so",
        ),
        (lambda: _compare(problems={"bowl": "digits"}), r"problems\['bowl'\] must be a Problem"),
    ],
)
def test_what_cannot_be_meant_names_its_argument(call: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def _untrained(progress: Progress) -> None:
    """A watcher of what must not begin."""
    pytest.fail(f"{progress.label} has begun")


def _momentum(lr: Any, weight_decay: float = 0.0, beta: float = 0.5) -> optim.Momentum:
    return optim.Momentum(lr, beta, weight_decay=weight_decay)


def _soap(every: float) -> optim.SOAP:
    return optim.SOAP(0.1, every=int(every))


def _beta(beta: float) -> optim.TorchOptimizer:
    return optim.TorchOptimizer(0.1, lambda p: torch.optim.SGD(p, momentum=beta))


def _decaying(lr: float) -> optim.SGD:
    return optim.SGD(lr, weight_decay=sweep.values([0.0, 0.1]))


def _compare(**options: Any) -> Any:
    given = {"problems": {"bowl": bowl()}, "rules": {"SGD": (optim.SGD, {"lr": Range(1, 2)})}, "steps": 1} | options
    return tuning.compare(given.pop("problems"), given.pop("rules"), **given)
