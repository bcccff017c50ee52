import json
import re
import typing

import pytest

from thalweg.cli.main import main
from thalweg.cli.train import NETS, Train
from thalweg.optim import RULES
from thalweg.storage import Store

SMALL = ["train", "--hidden", "4", "--steps", "3", "--seeds", "2", "--batch-size", "16"]


def test_every_rate_is_trained_with_every_seed(capsys):
    assert main([*SMALL, "--lr", "0.01", "0.1"]) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines() if line.strip().startswith("0.")]
    assert [row[:3] for row in rows] == [["0.01", "2", "0"], ["0.1", "2", "0"]]
    assert "4 members, 3 steps" in captured.err


def test_a_single_rate_is_shown(capsys):
    assert main([*SMALL, "--lr", "0.02"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:3] == ["0.02", "2", "0"]


def test_no_interval_is_beyond_what_a_metric_can_be(capsys):
    assert main(["train", "--hidden", "16", "--steps", "60", "--seeds", "2", "--lr", "0.01"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("0.01")]
    ends = [tuple(map(float, found)) for found in re.findall(r"\[(\S+), (\S+)\]", row)]
    assert len(ends) == 4
    assert all(low >= 0 for low, _ in ends)
    assert ends[1][1] <= 1
    assert ends[3][1] <= 1
    assert max(high for _, high in ends) < 5


def test_the_history_is_strict_json(capsys):
    assert main([*SMALL, "--json", "-", "--optimizer", "sgd", "--lr", "1e38"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["recipe"]["steps"] == 3
    assert {row["metric"] for row in document["history"]} >= {"train_loss", "test_loss"}
    assert any(row["value"] in ("NaN", "Infinity") for row in document["history"])  # it diverged


def test_a_loss_that_is_infinite_is_printed_and_written(capsys, tmp_path):
    # One step at this rate leaves finite weights whose loss is not.
    target = tmp_path / "run.json"
    arguments = ["--optimizer", "sgd", "--lr", "1e25", "--steps", "1", "--json", str(target)]
    assert main([*SMALL, *arguments]) == 0
    assert "seeds" in capsys.readouterr().out
    values = [row["value"] for row in json.loads(target.read_text(), parse_constant=pytest.fail)["history"]]
    assert any(isinstance(value, str) for value in values)


def test_a_run_is_kept_and_shown(capsys, tmp_path):
    store = str(tmp_path / "store")
    assert main([*SMALL, "--store", store, "--name", "mine"]) == 0
    assert ("run", "mine") in Store(store)
    capsys.readouterr()
    assert main(["show", "run/mine", "--store", store]) == 0
    assert json.loads(capsys.readouterr().out)["document"]["step"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "text", "--net", "mlp"], "goes with --net transformer"),
        (["--warmup", "10"], "--schedule warmup"),
        (["--schedule", "warmup"], "--warmup of at least 1"),
        (["--schedule", "cosine", "--warmup", "4"], "longer than --steps 3"),
        (["--name", "mine"], "--store DIR with --name mine"),
        (["--net", "convnet"], "--hidden is for --net mlp"),
        (["--steps", "0"], "steps"),
        (["--seeds", "0"], "seed"),
        (["--batch-size", "100000"], "batch"),
        (["--lr", "-1"], "lr"),
        (["--lr", "0.1", "0.1"], "names a rate twice"),
    ],
)
def test_an_impossible_recipe_is_wrong_use(arguments, words, capsys):
    assert main([*SMALL, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_options_are_those_there_are():
    hints = typing.get_type_hints(Train)
    assert set(typing.get_args(hints["optimizer"])) == set(RULES)
    assert set(typing.get_args(hints["data"])) == set(NETS)


@pytest.mark.parametrize("schedule", typing.get_args(typing.get_type_hints(Train)["schedule"]))
def test_every_schedule_ends_as_low_as_it_should(schedule):
    warmup = 0 if schedule in ("constant", "one-cycle") else 10
    made = Train(schedule=schedule, steps=100, warmup=warmup)._schedule()
    values = [float(made(step, 100)) for step in range(1, 101)]
    assert max(values) == pytest.approx(1)
    falls = schedule in ("cosine", "linear", "wsd", "one-cycle")
    assert (values[-1] < 0.06) == falls or schedule == "restarts"
    if warmup:
        assert values[4] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("data", "net"), [(data, net) for data, nets in NETS.items() for net in nets])
def test_every_pair_of_data_and_net_fits(data, net):
    problem = Train(data=data, net=net, hidden=(4,))._problem()
    assert len(problem.initialize(1)) == 1
