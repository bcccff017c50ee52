"""The claims about perceptrons: settings, planted effects, nulls on which nothing holds, and a small run of it all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.statistics import Interval
from thalweg.studies import Lab
from thalweg.studies.tickets import (
    arbitrary,
    everything_kept,
    frozen,
    matching,
    one_shot,
    own_rates,
    perceptron,
    reinitialized,
    setting,
    tasks,
)
from thalweg.studies.tickets.perceptron import Shared
from thalweg.studies.tickets.setting import (
    FOUR_ROUNDS,
    FRESH,
    LARGE,
    RATE,
    SMALL,
    TESTED,
    TUNED,
    TWO_ROUNDS,
    Searched,
    Setting,
    network,
    recipe_of,
    signals,
)
from thalweg.tickets import ByLayer, Policy, Transfer

LAB = Lab("full", 500, progress=None)
KEPT = Interval(0.0, 0.0, 0.0, 6, "made up")
TINY = Setting(8, 12, TWO_ROUNDS, levels=3, scored=2, sparse=3, dense=2)
TINY_LARGE = Setting(10, 12, FOUR_ROUNDS, levels=2, scored=2, sparse=2, dense=1)


@contextmanager
def few_examples() -> Iterator[pytest.MonkeyPatch]:
    """A few hundred signals in the place of thousands."""
    drawn = {seed: tw.data.mnist1d(train=200, test=100, seed=seed) for seed in (42, TESTED, TUNED, FRESH)}

    def few(*, test: int = TESTED, train: int | None = None) -> tw.data.Data:
        return replace(drawn[train or 42], test=drawn[test].test)

    with pytest.MonkeyPatch.context() as patch:
        for module in (setting, tasks, own_rates):
            patch.setattr(module, "signals", few)
        yield patch


@pytest.fixture(scope="module")
def tiny() -> Shared:
    """All settings and arms, with networks that hardly learn."""
    with few_examples() as patch:
        patch.setattr(perceptron, "SMALL", TINY)
        patch.setattr(perceptron, "LARGE", TINY_LARGE)
        patch.setattr(perceptron, "LONG", replace(TINY_LARGE, steps=16))
        return perceptron.shared(LAB)


def planted(
    found: Searched, accuracies: Mapping[str, float], levels: tuple[int, ...] = (), sd: float = 0.005
) -> Searched:
    """The same search with other accuracies on test examples, of exactly these means: at some levels, or at all."""
    search, rng = found.search, np.random.default_rng(0)
    arrays = {name: values.copy() for name, values in search.reading.arrays.items()}
    for arm, mean in accuracies.items():
        noise = rng.normal(size=(len(search.runs), len(found.seeds)))
        drawn = mean + sd * (noise - noise.mean(1, keepdims=True))
        if arm == "dense":
            arrays["dense test_accuracy"] = drawn[0]
            continue
        rows = [level - 1 for level in levels or range(1, len(search.runs) + 1)]
        arrays["test_accuracy"][search.arms.index(arm), rows] = drawn[rows]
    return replace(found, search=replace(search, reading=replace(search.reading, arrays=arrays)))


def exchanged(found: Searched, arms: Mapping[str, str]) -> Searched:
    """The same search in which an arm has the accuracies of another one."""
    search = found.search
    table = search["test_accuracy"].copy()
    for arm, by in arms.items():
        table[search.arms.index(arm)] = search["test_accuracy"][search.arms.index(by)]
    arrays = dict(search.reading.arrays) | {"test_accuracy": table}
    return replace(found, search=replace(search, reading=replace(search.reading, arrays=arrays)))


def outcomes(finding: tw.claims.Finding) -> dict[str, str]:
    verdict = finding.verdict
    return {"": verdict.outcome} | {part.part.id: part.outcome for part in verdict.parts}


# Settings.


@pytest.mark.parametrize(
    ("levels", "densities"),
    [(SMALL, (0.65, 0.43, 0.28, 0.185, 0.123, 0.083)), (LARGE, (0.44, 0.19, 0.087))],
)
def test_levels_keep_what_the_design_says(levels: Setting, densities: tuple[float, ...]) -> None:
    problem = tw.Problem(lambda: network(levels.width), tw.data.mnist1d(train=20, test=10))
    allocation = ByLayer()
    division = allocation.division(problem, Policy())
    kept = [division.sizes]
    for _ in range(levels.levels):
        kept.append(allocation.kept(division, levels.keep, kept[-1]))
    shares = [float(one.sum() / division.sizes.sum()) for one in kept[1:]]
    assert shares == pytest.approx(densities, abs=0.005)


def test_networks_start_by_the_rule_of_he() -> None:
    weights = network(400)[2].weight
    assert float(weights.detach().std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert not any(layer.bias.any() for layer in network(10) if isinstance(layer, torch.nn.Linear))


def test_what_is_trained_on_tuned_on_and_tested_on_is_apart() -> None:
    published, tuning, fresh = signals(), signals(test=TUNED), signals(train=FRESH)
    assert (len(published.train), len(published.test)) == (4_000, 10_000)
    assert torch.equal(published.train.inputs, tw.data.mnist1d().train.inputs)
    assert torch.equal(tuning.train.inputs, published.train.inputs)
    assert torch.equal(fresh.test.inputs, published.test.inputs)
    parts = (published.train, published.test, tuning.test, fresh.train)
    inputs = torch.cat([part.inputs for part in parts]).numpy()
    rows = np.ascontiguousarray(inputs).view(np.dtype((np.void, inputs.dtype.itemsize * 40)))
    assert len(np.unique(rows)) == len(rows)


def test_tasks_keep_the_targets_and_change_the_inputs() -> None:
    with few_examples():
        found = {name: problem.data for name, problem in tasks.tasks_of(LAB, 4).items()}
    same = found[tasks.SAME].train
    assert torch.equal(found[tasks.REVERSED].train.inputs.flip(-1), same.inputs)
    permuted = found[tasks.PERMUTED].train.inputs
    assert not torch.equal(permuted, same.inputs)
    assert torch.equal(permuted.sort(1).values, same.inputs.sort(1).values)
    assert torch.equal(found[tasks.PERMUTED].train.targets, same.targets)
    assert found[tasks.DIGITS].train.inputs.shape[1] == 40


# A small run of it all.


def test_everything_is_judged(tiny: Shared) -> None:
    masks = frozen.Frozen(np.full((2, 4, 3), 0.3) + np.arange(3) / 100)
    found = [
        matching.found(LAB.on((matching.CLAIM,)), tiny.small, tiny.large, tiny.long, masks, kept=KEPT),
        reinitialized.found(LAB.on((reinitialized.CLAIM,)), tiny.small, tiny.large, tiny.long, tiny.rates),
        arbitrary.found(LAB.on((arbitrary.CLAIM,)), tiny.small, tiny.large),
        one_shot.found(LAB.on((one_shot.CLAIM,)), tiny.small, tiny.large),
    ]
    assert [one.verdict.claim.id for one in found] == ["LTH1", "LTH2", "LTH3", "LTH4"]
    for one in found:
        assert one.sentences
        assert one.readings
        assert all("nan" not in sentence for sentence in one.sentences)
        assert all(part.interval.n for part in one.verdict.parts)
        for figure in one.figures:
            figure.to_matplotlib()
    assert [one.verdict.shortfall != "" for one in found] == [False, True, False, True]  # few units and steps


def test_quick_runs_less_and_leaves_equivalences_undecided(tiny: Shared) -> None:
    second = reinitialized.found(LAB.on((reinitialized.CLAIM,)), tiny.small, None, None, None)
    fourth = one_shot.found(LAB.on((one_shot.CLAIM,)), tiny.small, None)
    assert outcomes(second)[""] == outcomes(fourth)[""] == "undecided"
    for part in (reinitialized.SPARSE, reinitialized.LESS):  # of another setting and of tuned rates: not run
        assert outcomes(second)[part] == "undecided"
    for part in (one_shot.SPARSE, one_shot.COST, one_shot.LESS):
        assert outcomes(fourth)[part] == "undecided"
    assert all("nan" not in sentence for one in (second, fourth) for sentence in one.sentences)


def test_masks_that_keep_everything_give_the_dense_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everything_kept, "SMALL", TINY)
    with few_examples():
        found = everything_kept.everything_kept(LAB, [500, 501])
    assert (found.estimate, found.n) == (0.0, 2)


def test_a_ticket_that_loses_its_weights_is_found_out(tiny: Shared) -> None:
    lab = LAB.on((matching.CLAIM,))
    for away, outcome in ((KEPT, "holds"), (Interval(1e-6, 1e-6, 1e-6, 6, "made up"), "fails")):
        finding = matching.found(lab, tiny.small, tiny.large, tiny.long, None, kept=away)
        assert outcomes(finding)[matching.KEPT] == outcome


def test_rates_at_the_end_of_what_was_tried_are_counted(tiny: Shared) -> None:
    rates = replace(tiny.rates, rates=np.array([[0.3] * 10, [0.8] * 3 + [0.6] * 7]))
    assert rates.at_the_end.startswith("0 of 10 tickets and 3 of 10 reinits chose 0.8")


def test_each_seed_takes_the_rates_of_its_own_tuning_seed(tiny: Shared) -> None:
    rates, large = tiny.rates, tiny.large
    assert rates.tuned.shape == (2, 4, 10)
    best = np.array(own_rates.RATES)[rates.tuned.argmax(1)]
    assert (rates.rates == best).all()
    assert len(np.unique(best)) > 1
    for row, arm in enumerate(own_rates.ARMS):
        at_first = rates.rates[row] == RATE
        assert (rates.scored[row, at_first] == large.search.of(2, arm)[at_first]).all()
    row, column = np.argwhere(rates.rates != RATE)[0]
    seed = large.seeds[column]
    start = large.problem.initialize([seed]) if row == 0 else tw.tickets.reinitialized(large.problem, [seed])
    mask, rate = large.search.masks[1]["ticket"][column], float(rates.rates[row, column])
    run = tw.train(large.problem, recipe_of(12, rate), [seed], start=start, mask=mask, paired=True, progress=None)
    assert run.history.final("test_accuracy")[0] == pytest.approx(rates.scored[row, column], abs=0.02)


def test_untrained_tickets_are_read_before_the_first_step(tiny: Shared) -> None:
    before, formula = matching.untrained(tiny.small)
    masked = tiny.small.problem.initialize(tiny.small.seeds).with_mask(tiny.small.search.masks[1]["ticket"])
    by_hand = tw.evaluate(tiny.small.problem, masked, "test")["accuracy"].numpy()
    assert before.estimate == pytest.approx(by_hand.mean(), abs=1e-6)
    dense = tiny.small.search.of(2, "dense")
    assert formula.estimate == pytest.approx(100 * (by_hand - dense).mean(), abs=1e-4)


# Planted effects and nulls.


@pytest.mark.parametrize(
    ("ticket", "arm", "outcome"),
    [(0.70, "ticket", "holds"), (0.679, "ticket", "holds"), (0.66, "ticket", "fails"), (0.70, "shuffled", "fails")],
)
def test_a_ticket_matches_within_the_margin_and_a_shuffled_mask_does_not(
    tiny: Shared, ticket: float, arm: str, outcome: str
) -> None:
    large = planted(tiny.large, {"dense": 0.68, "ticket": ticket, "shuffled": 0.55}, sd=0.002)
    found = matching.found(LAB.on((matching.CLAIM,)), tiny.small, large, None, None, arm)
    assert found.verdict.outcome == outcome
    assert found.verdict.lecture.outcome == "fails"


def test_a_network_that_its_tickets_do_not_match_is_said_to_be_one(tiny: Shared) -> None:
    large, long = (
        planted(one, {"dense": 0.70, "ticket": mean}, sd=0.002) for one, mean in ((tiny.large, 0.71), (tiny.long, 0.68))
    )
    found = matching.found(LAB.on((matching.CLAIM,)), tiny.small, large, long, None)
    assert outcomes(found)[""] == outcomes(found)[matching.LONGER] == "holds"
    null = matching.found(LAB.on((matching.CLAIM,)), tiny.small, large, planted(long, {"ticket": 0.70}, sd=0.002), None)
    assert outcomes(null)[matching.LONGER] != "holds"


def test_the_mask_is_worth_something_only_beside_another_one(tiny: Shared) -> None:
    lab = LAB.on((arbitrary.CLAIM,))
    means = {"ticket": 0.70, "shuffled": 0.55, "another shuffling": 0.55, "reinit": 0.58, "reinit, shuffled": 0.53}
    small, large = planted(tiny.small, means), planted(tiny.large, {"ticket": 0.70, "shuffled": 0.55})
    assert set(outcomes(arbitrary.found(lab, small, large)).values()) == {"holds"}
    nothing = exchanged(
        small, {"ticket": "another shuffling", "reinit": "shuffled", "reinit, shuffled": "another shuffling"}
    )
    null = outcomes(arbitrary.found(lab, nothing, None))
    assert null[arbitrary.ORIGINAL] != "holds"
    assert null[arbitrary.FRESH] != "holds"


def test_a_real_second_shuffling_is_no_ticket(tiny: Shared) -> None:
    lab = LAB.on((arbitrary.CLAIM,))
    null = arbitrary.found(lab, exchanged(tiny.small, {"ticket": "another shuffling"}), None)
    assert outcomes(null)[arbitrary.ORIGINAL] != "holds"


def test_the_initialization_counts_only_beside_another_one(tiny: Shared) -> None:
    lab, enough = LAB.on((reinitialized.CLAIM,)), replace(tiny.large.setting, width=200, steps=2_000)
    sparse = replace(planted(tiny.large, {"ticket": 0.70, "reinit": 0.70}, (1,)), setting=enough)
    noise = 0.004 * np.random.default_rng(1).normal(size=(2, 10))
    noise -= noise.mean(1, keepdims=True)
    rates = replace(tiny.rates, scored=np.array([[0.70], [0.68]]) + noise)
    found = outcomes(reinitialized.found(lab, tiny.small, sparse, None, rates))
    assert found[""] == found[reinitialized.SPARSE] == found[reinitialized.LESS] == "holds"
    equal = replace(rates, scored=0.70 + noise)
    assert outcomes(reinitialized.found(lab, tiny.small, sparse, None, equal))[""] != "holds"
    apart = replace(planted(tiny.large, {"ticket": 0.70, "reinit": 0.66}, (1,)), setting=enough)
    assert outcomes(reinitialized.found(lab, tiny.small, apart, None, rates))[""] == "fails"
    row, other = (tiny.small.search.of(2, arm) for arm in ("reinit", "another reinit"))
    null = replace(rates, scored=np.stack([other, row]), rates=rates.rates[:, : len(row)])
    assert outcomes(reinitialized.found(lab, tiny.small, sparse, None, null))[reinitialized.SPARSE] != "holds"


def test_rounds_count_only_where_they_find_more(tiny: Shared) -> None:
    lab, enough = LAB.on((one_shot.CLAIM,)), replace(tiny.large.setting, width=200, steps=2_000)
    small = planted(tiny.small, {"ticket": 0.68, "one-shot": 0.68, perceptron.EQUAL_COST: 0.56})
    large = planted(tiny.large, {"ticket": 0.70, "one-shot": 0.70}, (1,))
    large = planted(large, {"ticket": 0.69, "one-shot": 0.66}, (2,))
    assert outcomes(one_shot.found(lab, small, replace(large, setting=enough)))[""] == "holds"
    longer = planted(small, {perceptron.EQUAL_COST: 0.69}, sd=0.002)
    found = outcomes(one_shot.found(lab, longer, replace(large, setting=enough)))
    assert (found[""], found[one_shot.COST]) == ("fails", "fails")
    equal = planted(large, {"one-shot": 0.69, "ticket": 0.69}, (2,))
    assert outcomes(one_shot.found(lab, small, replace(equal, setting=enough)))[""] != "holds"


@pytest.fixture(scope="module")
def moved(tiny: Shared) -> Transfer:
    """What real but hardly trained tickets do on other tasks."""
    with few_examples():
        problems = tasks.tasks_of(LAB, TINY.width)
    return tw.tickets.transfer(tiny.small.search, problems, level=2, arms=tasks.FULL, progress=None)


def with_advantages(moved: Transfer, gains: Mapping[str, float], dense: float = 0.0) -> Transfer:
    """The same with planted accuracies: how much the ticket and the dense network have above a shuffled mask."""
    rng, arms = np.random.default_rng(0), moved.reading.coordinate("arm").tolist()
    table = 0.5 + 0.003 * rng.normal(size=moved["test_accuracy"].shape)
    for row, task in enumerate(moved.reading.coordinate("task")):
        table[row, arms.index("ticket")] += gains[task]
        table[row, arms.index("dense")] += dense
    arrays = {"test_accuracy": table, "advantage": table[:, 0] - table[:, 1]}
    return replace(moved, reading=replace(moved.reading, arrays=arrays))


@pytest.mark.parametrize(("fresh", "outcome"), [(0.15, "holds"), (0.10, "fails"), (0.0, "fails")])
def test_transfer_is_a_share_of_the_advantage(tiny: Shared, moved: Transfer, fresh: float, outcome: str) -> None:
    gains = {tasks.SAME: 0.15, tasks.DRAW: fresh, tasks.REVERSED: 0.1, tasks.PERMUTED: 0.04, tasks.DIGITS: 0.0}
    found = tasks.judged(LAB.on((tasks.CLAIM,)), tiny.small, with_advantages(moved, gains))
    assert outcomes(found)[""] == outcome
    assert all(outcomes(found)[name] == "holds" for name in (tasks.REVERSED, tasks.PERMUTED, tasks.DIGITS, tasks.NULL))
    for figure in found.figures:
        figure.to_matplotlib()


@pytest.mark.parametrize(
    ("reversed_", "outcome"), [(0.1, "holds"), (0.0, "undecided"), (-0.1, "fails"), (0.2, "fails")]
)
def test_a_part_is_more_than_nothing_and_less_than_all(
    tiny: Shared, moved: Transfer, reversed_: float, outcome: str
) -> None:
    gains = {tasks.SAME: 0.15, tasks.DRAW: 0.15, tasks.REVERSED: reversed_, tasks.PERMUTED: 0.04, tasks.DIGITS: 0.0}
    found = outcomes(tasks.judged(LAB.on((tasks.CLAIM,)), tiny.small, with_advantages(moved, gains)))
    assert found[tasks.REVERSED] == outcome


@pytest.mark.parametrize(("dense", "outcome"), [(0.2, "holds"), (-0.1, "fails")])
def test_tickets_are_compared_with_the_dense_network_off_their_own_task(
    tiny: Shared, moved: Transfer, dense: float, outcome: str
) -> None:
    gains = {tasks.SAME: 0.15, tasks.DRAW: 0.15, tasks.REVERSED: 0.1, tasks.PERMUTED: 0.04, tasks.DIGITS: 0.0}
    found = outcomes(tasks.judged(LAB.on((tasks.CLAIM,)), tiny.small, with_advantages(moved, gains, dense)))
    assert {found[part] for part in tasks.BEHIND} == {outcome}


def test_what_was_not_trained_beside_other_tasks_says_so(tiny: Shared, moved: Transfer) -> None:
    arms = ["ticket", "shuffled"]
    rows = [moved.reading.coordinate("arm").tolist().index(arm) for arm in arms]
    arrays = dict(moved.reading.arrays) | {"test_accuracy": moved["test_accuracy"][:, rows]}
    few = replace(moved.reading, arrays=arrays, coordinates=dict(moved.reading.coordinates) | {"arm": arms})
    finding = tasks.judged(LAB.on((tasks.CLAIM,)), tiny.small, replace(moved, reading=few))
    assert {outcomes(finding)[part] for part in (*tasks.BEHIND, tasks.NULL)} == {"undecided"}
    assert not any("nan" in sentence or "dense" in sentence for sentence in finding.sentences)
    finding.figures[0].to_matplotlib()


def test_a_shuffled_mask_transfers_nothing(tiny: Shared, moved: Transfer) -> None:
    arms, table = moved.reading.coordinate("arm").tolist(), moved["test_accuracy"].copy()
    table[:, 0] = table[:, arms.index("another shuffling")]
    arrays = {"test_accuracy": table, "advantage": table[:, 0] - table[:, 1]}
    null = replace(moved, reading=replace(moved.reading, arrays=arrays))
    assert outcomes(tasks.judged(LAB.on((tasks.CLAIM,)), tiny.small, null))[""] != "holds"


def test_masks_over_untrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "WIDTHS", (4, 6))
    monkeypatch.setattr(frozen, "STEPS", 3)
    with few_examples():
        found = frozen.frozen(LAB, [500, 501])
    assert found.accuracy.shape == (2, 2, 2)
    assert found.reading(LAB).dims
    assert found.sentence.startswith("A mask learned over weights")
