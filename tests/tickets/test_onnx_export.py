"""ONNX files compute what torch does; without the packages the reason is said."""

import importlib.util
from pathlib import Path

import pytest
import torch
from cases import CASE

import thalweg as tw
from thalweg.tickets import sliced, to_onnx

NEEDED = ("onnx", "onnxscript", "onnxruntime")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
installed = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (optional extra 'onnx')")


@installed
def test_sliced_networks(tmp_path: Path) -> None:
    images = tw.data.digits(image=True).subset(train=20)
    mlp = tw.Problem(lambda: tw.nets.mlp(64, 8, 8, 10), tw.data.digits())
    resnet = tw.Problem(lambda: tw.nets.resnet(4), images)
    tokens = torch.randint(5, (12, 6), generator=torch.Generator().manual_seed(2))
    transformer = tw.Problem(lambda: tw.nets.transformer(5, 6, 8, 2), (tokens, tokens))
    for number, (problem, keep) in enumerate(
        (
            (mlp, {"hidden1": [0, 3, 5], "hidden2": [1, 2]}),
            (resnet, {"stem.0: stream": [0, 2], "stages.1.0.convolution2": [0, 1, 5]}),
            (transformer, {"blocks.0.expand": range(5), "blocks.1.attention.query: heads": [1]}),
        )
    ):
        small = sliced(problem, problem.initialize(1), keep)
        found = to_onnx(problem, small, tmp_path / f"{number}.onnx")
        assert found["difference"] < 1e-4
        assert found["size"] == found.path.stat().st_size > 0
        assert "two batch sizes" in found.reading.notes[0]


@installed
def test_inputs_by_name(tmp_path: Path) -> None:
    problem = CASE["named inputs"].problem()
    assert to_onnx(problem, problem.initialize(1), tmp_path / "one.onnx")["difference"] < 1e-4


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else there(name))
    with pytest.raises(tw.UsageError, match=r"onnxscript.*thalweg\[onnx\]"):
        to_onnx(problem, problem.initialize(1), tmp_path / "one.onnx")


def test_what_makes_no_sense(tmp_path: Path) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    with pytest.raises(tw.UsageError, match=r"\.onnx"):
        to_onnx(problem, problem.initialize(1), tmp_path / "one.pt")
    with pytest.raises(tw.UsageError, match="one network"):
        to_onnx(problem, problem.initialize(2), tmp_path / "one.onnx")
    assert not list(tmp_path.iterdir())
