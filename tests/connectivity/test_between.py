"""Between checkpoints: of foreign models, of known potentials, and what cannot be compared."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASE, fingerprint
from connectivity.wells import double_well, place, problem_of
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import between
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import outputs

CLASSES = 4
FEW: dict[str, Any] = {"steps": 20, "points": 5, "resamples": 39, "progress": None}


class Residual(nn.Module):
    """A convolutional network with batch normalization and a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.one, self.inner = nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.two, self.outer = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(image)))
        x = torch.relu(x + self.outer(self.two(torch.relu(self.inner(self.one(x))))))
        return self.head(x.mean((2, 3)))


class Language(nn.Module):
    """A transformer encoder with two heads; takes its inputs by name, and its output shares the embedding's matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(CLASSES, 8)
        self.place = nn.Parameter(0.1 * torch.randn(6, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, CLASSES, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, *, tokens: Tensor, known: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(tokens) * known[..., None] + self.place))


class Gated(nn.Module):
    """A GRU with a control flow that no trace follows."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRU(3, 6, batch_first=True), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found = self.cell(x)[0]
        scale = 2.0 if float(x.detach().abs().sum()) >= 0 else 1.0
        return self.out(found[:, -1]) * scale


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def residual() -> tw.Problem:
    images = _normal(160, 1, 6, 6)
    targets = (images[:, 0, :3].mean((1, 2)) > 0).long() + 2 * (images[:, 0, 3:].mean((1, 2)) > 0).long()
    data = tw.data.from_user((images[:120], targets[:120]), (images[120:], targets[120:]))
    loss = tw.losses.CrossEntropy(class_weights=[1.0, 2.0, 1.0, 1.0])
    return tw.Problem(Residual, data, loss, dtype=torch.float64)


def language() -> tw.Problem:
    tokens = torch.randint(CLASSES, (160, 6), generator=torch.Generator().manual_seed(4))
    targets = tokens.cumsum(1) % CLASSES
    targets[:, 0] = -100
    known = torch.ones(160, 6)
    inputs = [{"tokens": tokens[part], "known": known[part]} for part in (slice(0, 120), slice(120, 160))]
    data = tw.data.from_user((inputs[0], targets[:120]), (inputs[1], targets[120:]))
    return tw.Problem(Language, data, tw.losses.CrossEntropy(ignore_index=-100))


def gated() -> tw.Problem:
    x = _normal(120, 4, 3)
    return tw.Problem(Gated, (x, x.sum((1, 2)).gt(0).long()), "cross_entropy")


def trained(problem: tw.Problem, seeds: int = 2, steps: int = 60, rate: float = 0.01) -> tw.Population:
    return tw.train(problem, tw.Recipe(tw.optim.Adam(rate), steps, 40, evaluate=0), seeds, progress=None).final


def test_a_convolutional_network_with_normalization_and_a_skip() -> None:
    problem = residual()
    population = trained(problem)
    modules = [population.module(0), population.module(1)]
    before = [fingerprint(module) for module in modules]
    found = between(problem, modules, **FEW)
    assert [fingerprint(module) for module in modules] == before
    assert found.alignment is not None
    assert found["error barrier"].shape == (3, 2, 1)
    assert np.isfinite(found["error barrier"][:2]).all()
    ways = found.averages.reading.coordinate("way").tolist()
    assert "average after aligning" in ways
    assert not any(way.startswith("repaired") for way in ways)  # batch normalization has statistics of its own
    assert any("running statistics of normalization layers: recompute" in note for note in found.reading.notes)
    direct = tw.connectivity.barrier(problem, population[0], population[1], points=5, on=["train", "test"])
    assert found["error barrier"][0] == pytest.approx(direct["error barrier"])
    aligned = tw.connectivity.align(problem, population[0], population[1]).population
    direct = tw.connectivity.barrier(problem, population[0], aligned, points=5, on=["train", "test"])
    assert found["loss barrier"][1] == pytest.approx(direct["loss barrier"])


def test_a_transformer_with_heads_tied_weights_inputs_by_name_and_targets_that_do_not_count() -> None:
    problem = language()
    population = trained(problem, 3)
    found = between(problem, population, **FEW)
    assert found.alignment is not None
    assert len(found.alignment.permutations) >= 3
    assert found["verdict"].shape == (3, 3)
    answers, targets = outputs(problem, population, "test").argmax(-1), problem.data.test.targets
    counts = targets != -100
    wanted = [float((answers[a] != answers[b])[counts].double().mean()) for a, b in found.pairs]
    assert found["disagreement"] == pytest.approx(wanted)
    assert (found["disagreement, 95 %"][:, 0] <= found["disagreement"]).all()
    assert found.sentences[-2].startswith(("An ensemble", "A"))
    compared = len([line for line in found.sentences if "of the best" in line])
    assert found.sentences[-1].startswith(f"Each of these {compared} is compared with the best on its own, at 95 %")


def test_a_recurrent_network_that_cannot_be_traced_is_not_aligned_and_the_rest_is_found() -> None:
    problem = gated()
    population = trained(problem, steps=30)
    found = between(problem, population, **FEW)
    assert found.alignment is None
    assert found.aligned is None
    assert (found["verdict"][1] == "not tried").all()
    assert np.isnan(found["error barrier"][1]).all()
    (note,) = [note for note in found.reading.notes if note.startswith("Not aligned")]
    assert "groups={" in note
    assert any("no test set" in note for note in found.reading.notes)
    assert np.isfinite(found["error barrier"][0]).all()
    assert found.averages.outcomes()
    assert not [line for line in found.sentences if "aligning" in line]
    by_hand = {"out": [("out.weight", 0), ("out.bias", 0)]}
    with pytest.raises(UsageError, match="at least one"):
        between(problem, population, groups=[], **FEW)
    refused = between(problem, population, groups=by_hand, curve=False, **(FEW | {"steps": None}))
    assert any("compute something else" in note for note in refused.reading.notes)


def test_between_two_wells_there_is_a_barrier_of_one_and_nothing_to_align() -> None:
    problem = problem_of(double_well, 1, examples=8)
    found = between(problem, place(problem, [-1.0], [1.0], [-1.0]), curve=False, points=5, resamples=39)
    assert found["loss barrier"][0, 0] == pytest.approx([1, 0, 1])
    assert found["verdict"][0].tolist() == ["not joined", "same network", "not joined"]
    assert found.joined() == ((0, 2),)
    assert found.curve is None
    assert found["share of the line's loss barrier"][0, 0, [0, 2]] == pytest.approx(1)
    assert "0 and 2: the same network." in found.sentences
    counts = (
        "Of 3 pairs: joined by a line 1 of 3 (barriers 0 to 1); a path joins where the whole 95 % interval of its loss "
        "barrier on train is below 2 % of the mean loss of both."
    )
    assert counts in found.sentences
    assert "disagreement" not in found.reading.arrays
    assert "error barrier" not in found.table().columns


def test_without_an_accuracy_the_loss_is_compared_with_that_of_the_ends() -> None:
    problem = problem_of(lambda at: double_well(at) + 99, 1, examples=8)
    pair = place(problem, [-1.0], [1.0])
    found = between(problem, pair, curve=False, points=5, resamples=39)
    assert found["verdict"][0].tolist() == ["joined"]
    assert (
        "loss barrier 1 (95 % interval 1 to 1) on train, below 1.98, 2 % of the mean loss of both" in found.sentences[0]
    )
    found = between(problem, pair, curve=False, points=5, resamples=39, worth=0.01)
    assert found["verdict"][0].tolist() == ["not joined"]


def test_a_planted_permutation_is_no_barrier_once_it_is_aligned_away() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=300, test=100))
    one = trained(problem, 1, steps=100)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    state = one.state_dict(0)
    state |= {name: state[name][order] for name in ("hidden1.weight", "hidden1.bias")}
    state["output.weight"] = state["output.weight"][:, order]
    found = between(problem, [one, problem.load([state])], **FEW)
    assert found["verdict"][0].tolist() == ["not joined"]
    assert found["verdict"][1].tolist() == ["joined"]
    assert found["loss barrier"][1] == pytest.approx(0, abs=1e-9)
    assert found.averages.outcomes()["average of weights"] == "worse"
    assert found.averages.effect("average after aligning").estimate == 0
    assert found["disagreement"] == 0
    assert "joined by a line once their units are aligned" in found.sentences[1]
    assert "below 2" in found.sentences[1]


def test_points_of_one_run_are_joined_by_a_line_and_need_no_curve() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=300, test=100))
    one = trained(problem, 1, steps=150)
    noise = 0.01 * torch.randn(3, one.theta.shape[1], generator=torch.Generator().manual_seed(0))
    found = between(problem, one[[0] * 3].with_theta(one.theta + noise), **FEW)
    assert found["verdict"][0].tolist() == ["joined"] * 3
    assert found["verdict"][2].tolist() == ["not tried"] * 3
    assert found.curve is None
    assert "No curve was sought, as lines join all pairs." in found.reading.notes


def test_tables_figures_and_stages() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=100, test=60))
    population, seen = trained(problem, 4, steps=40), []
    for count, panels in ((2, 3), (3, 4), (4, 4)):
        found = between(problem, population[:count], **(FEW | {"progress": seen.append}))
        figure = found.figure()
        assert len(figure.panels) == panels
        figure.to_matplotlib()
        figure.to_plotly()
        table = found.table()
        assert len(table) == 2 * (2 * len(found.pairs) + len(found.curved))
        assert {"loss barrier", "loss barrier, over mean", "error barrier", "error barrier, over mean"} <= {
            *table.columns
        }
        assert table.columns["verdict"][0] == found["verdict"][0, 0]
        assert found.facts()["checkpoints"] == str(count)
        assert tw.Reading.from_json(found.reading.to_json())["verdict"].tolist() == found["verdict"].tolist()
    stages = [one.label.split(":")[0] for one in seen]
    for number, name in enumerate(("lines", "aligning", "curves", "averages"), start=1):
        assert f"between, {name} ({number} of 4)" in stages
    with pytest.raises(UsageError, match="no path 'arc'"):
        found.joined("arc")


def test_ctrl_c_ends_it_and_changes_nothing() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=100, test=60))
    population = trained(problem, 2, steps=10)
    theta = population.theta.clone()

    def stop(progress: tw.progress.Progress) -> None:
        if "curves" in progress.label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        between(problem, population, **(FEW | {"progress": stop}))
    assert torch.equal(population.theta, theta)


def test_what_cannot_be_compared_is_refused_with_every_reason() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=100, test=60))
    population = problem.initialize(3)
    deep, wide = tw.nets.mlp(64, 8, 8, 10), tw.nets.mlp(64, 12, 10)
    with pytest.raises(UsageError) as caught:
        between(problem, [population, deep, wide], **FEW)
    said = str(caught.value)
    for part in ("checkpoint 3", "checkpoint 4", "'hidden2.weight' (8, 8) is in the second alone", "'hidden2.bias'"):
        assert part in said
    assert "'hidden1.weight' is (8, 64) in the first and (12, 64) in the second" in said
    assert "'output.weight' is (10, 8) in the first and (10, 12) in the second" in said
    with pytest.raises(UsageError, match=r"at least 2 checkpoints; got 1. Files are read by problem.load"):
        between(problem, population[0], **FEW)
    with pytest.raises(UsageError, match="got none"):
        between(problem, [], **FEW)
    lost = population.with_theta(population.theta.clone())
    lost.theta[1, 0] = torch.nan
    with pytest.raises(UsageError, match=r"checkpoint 1 has parameters that are not finite; .* population\[\[0, 2\]\]"):
        between(problem, lost, **FEW)
    with pytest.raises(UsageError, match=r"population.to\("):
        between(problem, population.to(dtype=torch.float64), **FEW)
    for options, words in (
        ({"worth": 0}, "above 0"),
        ({"worth": "2"}, "a number"),
        ({"recipe": tw.Recipe(tw.optim.SGD(0.1), 5)}, "not both"),
        ({"statistics": "frozen"}, "recompute, interpolate"),
        ({"resamples": 3}, "at least 39"),
        ({"points": 2}, "at least 3"),
        ({"curve": 1}, "True or False"),
        ({"on": []}, "at least one set"),
        ({"progress": 3}, "between progress"),
    ):
        with pytest.raises(UsageError, match=words):
            between(problem, population, **(FEW | options))
    for given in (["one.pt", "two.pt"], 3):
        with pytest.raises(UsageError, match=r"problem.load"):
            between(problem, given, **FEW)


def test_integer_buffers_that_differ_and_random_models_are_refused() -> None:
    class Counting(nn.Module):
        def __init__(self, count: int = 0) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)
            self.register_buffer("count", torch.tensor(count))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + self.count

    data = _normal(24, 4), torch.arange(24) % 3
    problem = tw.Problem(Counting, data, "cross_entropy")
    with pytest.raises(UsageError, match="'count' holds whole numbers that differ"):
        between(problem, [Counting(1), Counting(2)], **FEW)
    same = between(problem, [Counting(2), Counting(2)], **FEW)
    assert "not aligned" in " ".join(same.reading.notes).lower()  # one layer has no units to exchange

    class Noisy(Counting):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + torch.randn(3)

    noisy = tw.Problem(Noisy, data, "cross_entropy")
    with pytest.raises(ModelError, match="evaluation mode"):
        between(noisy, noisy.initialize(2), **FEW)


def test_identical_checkpoints_are_the_same_network_and_averaging_them_changes_nothing() -> None:
    problem = CASE["tied"].problem()
    one = problem.initialize(1)
    found = between(problem, [one, one], **FEW)
    assert found["verdict"].tolist() == [["same network"], ["same network"], ["not tried"]]
    assert not found["loss barrier"][0].any()
    assert set(found.averages.outcomes("loss").values()) == {"no difference shown"}
    assert found.sentences[0] == "0 and 1: the same network."


def test_running_statistics_are_made_anew_or_part_of_the_network() -> None:
    problem = residual()
    one = problem.initialize(1)
    other = replace(one, buffers={name: 2 * rows for name, rows in one.buffers.items()})
    found = between(problem, [one, other], curve=False, **(FEW | {"steps": None}))
    assert found["verdict"][0].tolist() == ["same network"]
    kept = between(problem, [one, other], curve=False, statistics="interpolate", **(FEW | {"steps": None}))
    assert kept["verdict"][0].tolist() != ["same network"]
    assert any("interpolate" in note for note in kept.reading.notes)


def test_outputs_of_whole_numbers_have_no_averages_and_the_rest_is_found() -> None:
    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.layer = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            answers = self.layer(torch.tanh(self.hidden(inputs)))
            return {"answers": answers, "chosen": answers.argmax(-1)}

    data = _normal(24, 4), torch.arange(24) % 3
    problem = tw.Problem(Choice, data, lambda output, y: F.cross_entropy(output["answers"], y, reduction="none"))
    found = between(problem, problem.initialize(2), **FEW)
    assert found.averages is None
    assert any("whole numbers of several networks have no mean" in note for note in found.reading.notes)
    found.figure().to_matplotlib()
    assert replace(found).sentences


def test_with_too_few_held_out_examples_averages_are_not_scored_and_the_rest_is_found() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=60, test=3))
    found = between(problem, problem.initialize(2), curve=False, points=5, on="train", resamples=39)
    assert found.averages is None
    assert any("4 held-out examples or more; got 3" in note for note in found.reading.notes)
