"""Averages of weights and of outputs: of known potentials, of linear networks, and by hand."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from cases import CASE
from connectivity.wells import double_well, place, problem_of
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import averaged
from thalweg.connectivity.averaging import AVERAGE, GREEDY
from thalweg.connectivity.ensemble import LOGS, OUTPUTS, PROBABILITIES, ensemble_entries
from thalweg.connectivity.held_out import apart
from thalweg.connectivity.soups import Scorer, average_of_weights, greedy_soup
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import by_example, evaluate, outputs, recomputed


@pytest.fixture(scope="module")
def digits() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())


@pytest.fixture(scope="module")
def members(digits: tw.Problem) -> tw.Population:
    """Four networks of one run's end: three a little off to either side, and one that is far away."""
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=150, batch_size=50, evaluate=1)
    center = tw.train(digits, recipe, [0], progress=None).final
    noise = torch.randn(4, digits.layout.parameters, generator=torch.Generator().manual_seed(0))
    noise[2] = -noise[0] - noise[1]
    scale = torch.tensor([0.2, 0.2, 0.2, 3.0])[:, None]
    return center.with_theta(center.theta + scale * noise)


def test_between_two_slopes_of_a_bowl_the_average_is_the_bottom() -> None:
    problem = problem_of(lambda at: at.square().sum() + 1, 2, examples=8)
    found = averaged(problem, place(problem, [1.0, 0.0], [-1.0, 0.0]), on="train")
    assert found["loss"].tolist() == [2, 1, 1, 2]  # the ensemble of what both say is what each says
    assert found["member loss"].tolist() == [2, 2]
    assert found.effect(AVERAGE, "loss").estimate == -1
    assert found.outcomes("loss") == {AVERAGE: "better", GREEDY: "better", OUTPUTS: "no difference shown"}


def test_between_two_wells_the_average_is_worse_and_the_greedy_soup_stays_with_one() -> None:
    problem = problem_of(double_well, 1, examples=8)
    found = averaged(problem, place(problem, [-1.0], [1.1]), on="train")
    assert int(found["best"]) == 0
    assert found["in the soup"].tolist() == [True, False]
    assert found["loss"] == pytest.approx([0, (0.05**2 - 1) ** 2, 0, (1.1**2 - 1) ** 2 / 2])
    assert found.outcomes("loss") == {AVERAGE: "worse", GREEDY: "no difference shown", OUTPUTS: "worse"}


def test_an_average_that_is_not_finite_is_worse() -> None:
    problem = problem_of(lambda at: 1 / at[0].abs(), 1, examples=8)
    found = averaged(problem, place(problem, [-1.0], [1.0]), on="train")
    assert found.outcomes("loss")[AVERAGE] == "worse"


def test_of_linear_networks_the_average_is_the_mean_of_their_log_probabilities() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), dtype=torch.float64)
    population = problem.initialize(3)
    population = population.with_theta(4 * population.theta)
    found = averaged(problem, population, shares=[1, 2, 1])
    ways = found.reading.coordinate("way").tolist()
    assert found["loss"][ways.index(AVERAGE)] == pytest.approx(found["loss"][ways.index(LOGS)], rel=1e-12)
    assert found["error"][ways.index(AVERAGE)] == found["error"][ways.index(LOGS)]
    assert found["loss"][ways.index(PROBABILITIES)] != pytest.approx(found["loss"][ways.index(LOGS)], rel=1e-3)
    assert found["loss"][ways.index(LOGS)] <= found["member loss"].max()  # Jensen


def test_ensembles_are_those_made_by_hand(digits: tw.Problem, members: tw.Population) -> None:
    shares = torch.tensor([0.5, 0.25, 0.25, 0.0], dtype=torch.float64)
    answers, targets = outputs(digits, members, "test").double(), digits.data.test.targets
    logs = F.log_softmax(answers, -1)
    by_hand = {
        PROBABILITIES: torch.tensordot(shares, logs.exp(), 1).log(),
        LOGS: F.log_softmax(torch.tensordot(shares, logs, 1), -1),
    }
    found = ensemble_entries(digits, members, digits.data.test, shares, plan="auto")
    for way, table in by_hand.items():
        wanted = -table.gather(1, targets[:, None]).flatten()
        assert found[way]["loss"][0][0].numpy() == pytest.approx(wanted.numpy(), abs=1e-4)
        assert torch.equal(found[way]["accuracy"][0][0], (table.argmax(1) == targets).double())


def test_outputs_that_do_not_fit_come_in_tiles(members: tw.Population) -> None:
    small = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits(), memory_budget=20_000)
    large = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    shares = torch.full((4,), 0.25)
    few, all_ = (ensemble_entries(one, members, one.data.test, shares, plan="looped") for one in (small, large))
    for way in (PROBABILITIES, LOGS):
        assert few[way]["loss"][0].numpy() == pytest.approx(all_[way]["loss"][0].numpy(), abs=1e-5)


def test_of_answers_yes_or_no_odds_are_those_of_the_mean_probability() -> None:
    x, y = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), (torch.arange(40) % 2).float()
    problem = tw.Problem(lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), (x, y), "logistic")
    population = problem.initialize(3)
    shares = torch.tensor([0.2, 0.3, 0.5])
    found = ensemble_entries(problem, population, problem.data.train, shares, plan="auto")
    yes = torch.tensordot(shares, outputs(problem, population, "train").sigmoid(), 1)
    wanted = F.binary_cross_entropy(yes, problem.data.train.targets, reduction="none")
    assert found[PROBABILITIES]["loss"][0][0].numpy() == pytest.approx(wanted.numpy(), abs=1e-5)


def test_the_average_of_members_around_a_minimum_beats_the_best(digits: tw.Problem, members: tw.Population) -> None:
    found = averaged(digits, members[:3])
    assert found.outcomes("loss")[AVERAGE] == "better"
    far = averaged(digits, members)
    assert far.outcomes("error")[AVERAGE] == "worse"
    assert not far["in the soup"][3]
    assert far["in the soup"].sum() >= 2
    assert far.effect(GREEDY, "loss").high < 0


def test_the_greedy_soup_is_that_of_the_paper(digits: tw.Problem, members: tw.Population) -> None:
    examples = digits.data.test.select(torch.arange(150))
    scorer = Scorer(digits, examples, None, plan="auto", by="error")
    scores = scorer(members)
    taken = greedy_soup(members, scores, scorer)
    order = sorted(range(4), key=lambda member: scores[member])
    wanted, least = [order[0]], scores[order[0]][0]
    for member in order[1:]:
        tried = members[0].with_theta(members.theta[[*wanted, member]].mean(0, keepdim=True))
        error = 1 - float(evaluate(digits, tried, examples)["accuracy"])
        if error <= least:
            wanted, least = [*wanted, member], error
    assert taken == wanted
    assert all(scores[a] <= scores[b] for a, b in pairwise(order))


def test_differences_are_paired_by_example(digits: tw.Problem, members: tw.Population) -> None:
    choose, score = tw.Sample("train", 200), digits.data.test
    found = averaged(digits, members, choose_on=choose, on=score, resamples=1_999)
    average = members[0].with_theta(members.theta.mean(0, keepdim=True))
    best = members[int(found["best"])]
    errors = evaluate(digits, members, choose)["accuracy"]
    assert errors[int(found["best"])] == errors.max()
    for name, sign in (("loss", 1), ("accuracy", -1)):
        apart_by = sign * (by_example(digits, average, "test")[name] - by_example(digits, best, "test")[name])[0]
        array = "loss" if name == "loss" else "error"
        effect = found.effect(AVERAGE, array)
        assert effect.estimate == pytest.approx(float(apart_by.mean()), rel=1e-4)
        error = float(apart_by.std()) / len(apart_by) ** 0.5
        assert found.reading.standard_errors[f"{array} less the best's"][1] == pytest.approx(error, rel=0.08)
        assert [effect.low, effect.high] == pytest.approx(
            [effect.estimate - 1.96 * error, effect.estimate + 1.96 * error], abs=0.35 * error
        )
        assert effect.n == 360


def test_running_statistics_of_averages_are_made_anew() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    recipe = tw.Recipe(tw.optim.Momentum(0.05), 8, 8, evaluate=0)
    population = tw.train(problem, recipe, [0, 1, 2], progress=None).final
    average = average_of_weights(population, torch.full((3,), 1 / 3, dtype=torch.float64))
    chosen, scored, _ = apart("averaged", problem, None, "train", seed=0)
    renewed = averaged(problem, population, on="train")
    wanted = evaluate(problem, recomputed(problem, average), scored.examples)["loss"]
    assert renewed["loss"][1] == pytest.approx(float(wanted))
    kept = averaged(problem, population, on="train", statistics="keep")
    assert kept["loss"][1] == pytest.approx(float(evaluate(problem, average, scored.examples)["loss"]))
    assert kept["loss"][1] != pytest.approx(renewed["loss"][1])
    assert kept["member loss"] == pytest.approx(evaluate(problem, population, scored.examples)["loss"].numpy())
    assert len(chosen) == len(scored) == 12


def test_weighted_losses_have_weighted_differences() -> None:
    loss = tw.losses.CrossEntropy(range(1, 11))
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), loss, dtype=torch.float64)
    population = problem.initialize(2)
    found = averaged(problem, population, choose_on="train")
    wanted = evaluate(problem, population, "test")["loss"].numpy()
    assert found["member loss"] == pytest.approx(wanted)
    ways = found.reading.coordinate("way").tolist()
    assert found["loss"][1] == pytest.approx(found["loss"][ways.index(LOGS)])


def test_nothing_is_chosen_on_what_is_scored(digits: tw.Problem, members: tw.Population) -> None:
    chosen, scored, text = apart("averaged", digits, None, "test", seed=0)
    both = torch.cat([chosen.examples.inputs, scored.examples.inputs])
    assert len(chosen) == len(scored) == 180
    assert torch.equal(both.sum(0), digits.data.test.inputs.sum(0)) or torch.allclose(
        both.sum(0), digits.data.test.inputs.sum(0), atol=1e-3
    )
    assert "one half of all 360 test examples" in text
    test = digits.data.test
    first, second = test.select(torch.arange(100)), test.select(torch.arange(90, 200))
    for choose_on, on, shared in (
        ("test", "test", 360),
        (tw.Sample("test", 50), "test", 50),
        (first, second, 10),
        (first, "test", 100),
        (test, "test", 360),
    ):
        with pytest.raises(UsageError, match=f"{shared} of the .* Leave choose_on out"):
            averaged(digits, members, choose_on=choose_on, on=on)
    lazy = [(test.inputs[i], test.targets[i]) for i in range(40)]
    one, two = (tw.data.LazyExamples(lazy, indices=torch.arange(*ends)) for ends in ((0, 20), (15, 40)))
    with pytest.raises(UsageError, match="5 of the 25"):
        apart("averaged", digits, one, two, seed=0)
    averaged(digits, members, choose_on=first, on=test.select(torch.arange(100, 200)), resamples=39)


def test_what_cannot_be_averaged_is_refused(digits: tw.Problem, members: tw.Population) -> None:
    with pytest.raises(UsageError, match="at least 2 networks; got 1"):
        averaged(digits, members[:1])
    lost = members.with_theta(members.theta.clone())
    lost.theta[1] = torch.nan
    with pytest.raises(UsageError, match=r"\[1\] are not; leave them out: population\[\[0, 2, 3\]\]"):
        averaged(digits, lost)
    for options, words in (
        ({"shares": [1, 1]}, "one for each of 4"),
        ({"shares": [1, 1, 1, -1]}, "at least 0"),
        ({"by": "accuracy"}, "loss, error"),
        ({"statistics": "frozen"}, "recompute, keep"),
        ({"resamples": 5}, "at least 39"),
        ({"on": tw.Sample("test", 3)}, "at least 4"),
    ):
        with pytest.raises(UsageError, match=words):
            averaged(digits, members, **options)
    found = averaged(digits, members, resamples=39)
    with pytest.raises(UsageError, match="no way to average 'soup'"):
        found.effect("soup")
    with pytest.raises(UsageError, match="error, loss"):
        found.effect(name="accuracy")


def test_what_is_not_named_is_the_error_or_where_there_is_none_the_loss(
    digits: tw.Problem, members: tw.Population
) -> None:
    found = averaged(digits, members, resamples=39)
    assert found.effect() == found.effect(AVERAGE, "error")
    assert found.outcomes() == found.outcomes("error")
    assert {found.reading.units[name] for name in ("error", "member error", "error less the best's")} == {"fraction"}
    problem = problem_of(lambda at: at.square().sum() + 1, 2, examples=8)
    regression = averaged(problem, place(problem, [1.0, 0.0], [-1.0, 0.0]), on="train")
    assert regression.effect() == regression.effect(AVERAGE, "loss")
    assert regression.outcomes() == regression.outcomes("loss")
    with pytest.raises(UsageError, match="one of loss; got 'error'"):
        regression.outcomes("error")


def test_further_networks_are_scored_beside(digits: tw.Problem, members: tw.Population) -> None:
    other = members[0].with_theta(members[:3].theta.mean(0, keepdim=True))
    found = averaged(digits, members, also={"mean of three": other, "the fourth": members[3]}, resamples=39)
    alone = averaged(digits, members, resamples=39)
    ways = found.reading.coordinate("way").tolist()
    assert ways[3:5] == ["mean of three", "the fourth"]
    rest = [place for place, way in enumerate(ways) if way not in ways[3:5]]
    assert found["loss"][rest].tolist() == alone["loss"].tolist()
    assert found["loss"][4] == found["member loss"][3]
    scored = apart("averaged", digits, None, "test", seed=0)[1].examples
    assert found["loss"][3] == pytest.approx(float(evaluate(digits, other, scored)["loss"]))
    for also, words in (
        ({AVERAGE: other}, "another name"),
        ({"both": members[:2]}, "one network, and finite; got 2 members"),
        ({"none": None}, "Population of one member"),
    ):
        with pytest.raises(UsageError, match=words):
            averaged(digits, members, also=also)


def test_whole_numbers_have_no_ensemble() -> None:
    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            answers = self.layer(inputs)
            return {"answers": answers, "chosen": answers.argmax(-1)}

    data = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    problem = tw.Problem(
        Choice, data, lambda output, target: F.cross_entropy(output["answers"], target, reduction="none")
    )
    with pytest.raises(ModelError, match="whole numbers of several networks have no mean"):
        averaged(problem, problem.initialize(2), on="train")


def test_the_figure_has_a_bar_for_every_way(digits: tw.Problem, members: tw.Population) -> None:
    figure = averaged(digits, members, resamples=39).figure()
    assert [panel.title for panel in figure.panels] == ["loss", "error"]
    assert figure.panels[0].marks[0].labels == (AVERAGE, GREEDY, PROBABILITIES, LOGS)
    assert "The greedy soup took" in figure.caption
    figure.to_matplotlib()
    figure.to_plotly()
