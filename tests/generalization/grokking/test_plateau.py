"""What is said of a plateau, of runs whose continuation is known, and of models of one's own."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import grokking


@pytest.fixture(scope="module")
def runs() -> dict[str, tuple[tw.Problem, tw.Run]]:
    """Sums and random answers modulo 23, four networks each, for 260 steps."""
    found = {}
    for operation in ("+", "random"):
        data = tw.data.modular(23, operation, train_fraction=0.7, seed=500, encoding="tokens")
        problem = tw.Problem(lambda: tw.nets.modular_mlp(23, 128), data)
        at = (20, 30, 40, 60, 80, 110, 140, 200)
        recipe = tw.Recipe(tw.optim.AdamW(1e-2, beta2=0.98, weight_decay=0.6), 200, evaluate=200, snapshot=at)
        found[operation] = problem, tw.train(problem, recipe, seeds=[500, 501, 502, 503])
    return found


def test_a_plateau_of_sums_is_told_from_one_of_random_answers(runs: dict[str, tuple[tw.Problem, tw.Run]]) -> None:
    problem, run = runs["+"]
    coming = grokking.plateau(problem, run, operation="+")
    assert coming.answer == "coming"
    assert run.history["test_accuracy"][-1].max() < 0.3
    assert (coming["projected"][-1] > coming["accuracy"][-1]).all()
    assert coming.answers == ("coming",) * 4
    assert "how far it goes, this does not say" in coming.sentence
    coming.figure()
    other = grokking.plateau(*runs["random"])
    assert other.answer in ("no sign of it", "cannot tell")
    assert other.rise.high < 0.05
    assert abs(other["standing"][-1].mean() - 0.5) < 0.1


def test_a_single_member_and_other_states_of_a_run_have_answers(runs: dict[str, tuple[tw.Problem, tw.Run]]) -> None:
    problem, run = runs["+"]
    alone = tw.train(problem, run.recipe, seeds=[500])
    assert grokking.plateau(problem, alone).answer == "coming"
    short = tw.train(problem, tw.Recipe(tw.optim.AdamW(1e-3), steps=4), seeds=2)
    assert grokking.plateau(problem, short).answer == "not fitted"
    bare = tw.train(problem, tw.Recipe(run.recipe.optimizer, 120), seeds=[500])
    assert grokking.plateau(problem, bare).answer == "cannot tell"  # no snapshots
    digits = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits().subset(train=100))
    done = tw.train(digits, tw.Recipe(tw.optim.Adam(0.01), steps=300, batch_size=64, snapshot=4), seeds=2)
    assert done.history["test_accuracy"][-1].min() < 0.95  # far above chance, and no grokking either
    assert grokking.plateau(digits, done).answer in ("no sign of it", "cannot tell")


def test_standings_are_shares_of_wrong_classes_that_the_right_one_beats() -> None:
    inputs, targets = torch.eye(3), torch.tensor([0, 1, 2])
    problem = tw.Problem(lambda: torch.nn.Linear(3, 3, bias=False), (inputs, targets), metrics={})
    weights = torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 2.0], [2.0, 1.0, 1.0]])  # column j: outputs of example j
    population = problem.initialize(1).with_theta(weights.reshape(1, -1))
    assert grokking.standings(problem, population, problem.data.train).tolist() == [[1.0, 0.25, 0.25]]


def sums(modulus: int = 11) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of tokens and their sums."""
    first, second = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus)).T
    return first, second, (first + second) % modulus


class TwoInputs(torch.nn.Module):
    """A perceptron of two inputs, which are given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Embedding(11, 64), torch.nn.Embedding(11, 64)
        self.head = torch.nn.Linear(64, 11)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.head((self.first(left) + self.second(right)).relu())


def test_accuracy_that_rises_is_no_plateau(runs: dict[str, tuple[tw.Problem, tw.Run]]) -> None:
    problem, run = runs["+"]
    later = tw.train(
        problem, tw.Recipe(run.recipe.optimizer, 400, evaluate=0, snapshot=(60, 100, 150, 240)), seeds=[500]
    )
    found = grokking.plateau(problem, later)
    assert found.answer == "rising"
    assert found.gain.low > 0
    assert found["accuracy"][-1] > found["accuracy"][-2]


def test_members_are_answered_by_themselves(runs: dict[str, tuple[tw.Problem, tw.Run]]) -> None:
    problem, run = runs["+"]
    rates = tw.optim.AdamW(tw.sweep.values([1e-2, 1e-6]), beta2=0.98, weight_decay=0.6)
    mixed = tw.train(problem, tw.Recipe(rates, 200, evaluate=0, snapshot=run.recipe.snapshot), seeds=[500])
    found = grokking.plateau(problem, mixed)
    assert found.answers == ("coming", "not fitted")
    assert found.answer == "coming"
    assert np.isfinite(found["memorized"]).tolist() == [True, False]
    assert "Left out: 1 of 2 members, not fitted." in found.sentence
    alone = grokking.plateau(problem, tw.train(problem, run.recipe, seeds=[500]))
    assert found.rise.estimate == pytest.approx(alone.rise.estimate, abs=1e-6)


def test_models_with_inputs_and_metrics_of_their_own_have_answers() -> None:
    first, second, targets = sums()
    held = torch.arange(121) % 4 == 0
    sets = [({"left": first[chosen], "right": second[chosen]}, targets[chosen]) for chosen in (~held, held)]
    data = tw.data.from_user(sets[0], test=sets[1])
    problem = tw.Problem(TwoInputs, data, metrics={"size": lambda output, _: output.abs().mean(-1)})
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(0.01), steps=80, snapshot=20), seeds=2)
    assert "train_accuracy" not in run.history.metrics
    found = grokking.plateau(problem, run)
    plain = tw.Problem(TwoInputs, data)
    by_hand = [tw.evaluate(plain, run.final, split)["accuracy"].numpy() for split in ("train", "test")]
    assert by_hand[0].tolist() == [1, 1]
    np.testing.assert_allclose(found["accuracy"][-1], by_hand[1])
    assert all(
        tw.evaluate(plain, run.snapshots[int(step)], "train")["accuracy"][member] >= 0.99
        for member, step in enumerate(found["memorized"])
    )


def test_members_with_examples_of_their_own_have_fitted_those() -> None:
    problem = tw.Problem(
        lambda: tw.nets.modular_mlp(11, 64), tw.data.modular(11, train_fraction=0.9, encoding="tokens")
    )
    rows = torch.stack([torch.arange(40), torch.arange(40, 80)])
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(0.01), steps=80, snapshot=20), seeds=2, examples=rows)
    assert tw.evaluate(problem, run.final, "train")["accuracy"].max() < 0.9
    found = grokking.plateau(problem, run)
    assert np.isfinite(found["memorized"]).all()
    assert "not fitted" not in found.answers


def test_what_has_no_classes_is_refused_in_words() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 3, generator=draw), torch.randn(20, 1, generator=draw)
    problem = tw.Problem(lambda: torch.nn.Linear(3, 1), tw.data.from_user((x, y), test=(x, y)), "squared_error")
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=2), seeds=1)
    with pytest.raises(UsageError, match="one whole number an example"):
        grokking.plateau(problem, run)
    classes = torch.zeros(20, dtype=torch.long)
    missing = torch.where(torch.arange(20) == 0, -1, classes)
    ignoring = tw.losses.CrossEntropy(ignore_index=-1)
    padded = tw.Problem(lambda: tw.nets.mlp(3, 4), tw.data.from_user((x, classes), test=(x, missing)), ignoring)
    assert padded.data.test is not None
    with pytest.raises(UsageError, match="from 0 to 3"):
        grokking.standings(padded, padded.initialize(1), padded.data.test)


def split_by_seed() -> tuple[tw.Problem, tw.Run, list[tw.Problem]]:
    """Sums modulo 13, each of three seeds with a split of its own, as one population; and each split by itself."""
    tables = [tw.data.modular(13, train_fraction=0.7, seed=seed, encoding="tokens") for seed in (500, 501, 502)]
    (train, mine), (test, held) = (tw.data.pooled([getattr(one, of) for one in tables]) for of in ("train", "test"))
    problem, *alone = (
        tw.Problem(lambda: tw.nets.modular_mlp(13, 64), data)
        for data in (tw.data.Data(train, test, classes=13), *tables)
    )
    recipe = tw.Recipe(tw.optim.AdamW(0.01, weight_decay=0.3), 100, evaluate=50, snapshot=(30, 50, 70))
    run = tw.train(problem, recipe, [500, 501, 502], examples=mine, test_examples=held, plan="looped")
    return problem, run, alone


def test_each_member_is_looked_at_on_what_it_holds_out_itself() -> None:
    problem, run, alone = split_by_seed()
    assert run.history["train_accuracy"][-1].min() > 0.99
    found = grokking.plateau(problem, run, operation="+")
    np.testing.assert_allclose(found["accuracy"][-1], run.history["test_accuracy"][-1])
    assert found.reading.sample_size == run.test_examples.shape[1]
    for place, one in enumerate(alone):
        own = tw.train(one, run.recipe, [500 + place], plan="looped")
        single = grokking.plateau(one, own, operation="+")
        for name in ("standing", "accuracy", "projected"):
            np.testing.assert_allclose(found[name][-len(single[name]) :, place], single[name][:, 0], err_msg=name)
        assert found.answers[place] == single.answer
    everything = grokking.plateau(problem, run, on=tw.Sample(problem.data.test.select(torch.arange(153))))
    assert (
        everything["accuracy"][-1] > found["accuracy"][-1] + 0.2
    ).all()  # others' are among a member's training pairs
    same = grokking.plateau(problem, run, on=problem.data.test)
    np.testing.assert_array_equal(same["standing"], found["standing"])
    assert same.rise.n == 3  # members, whose examples are not the same
    with pytest.raises(UsageError, match=r'20 of 153 test examples need not be among them.* Write on="test"'):
        grokking.plateau(problem, run, on=tw.Sample("test", 20))
