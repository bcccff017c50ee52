import argparse
import os
import pickle
import re
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from thalweg.errors import StorageError, UsageError
from thalweg.storage import load_state_file, save_state_file


class OwnNet(nn.Linear):
    """A class that a pickle would have to import."""


STATE = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.bin", "model.ckpt"])
def test_a_state_dict_of_torch(tmp_path: Path, name: str) -> None:
    assert same(load_state_file(saved(tmp_path / name, STATE)))


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        {"model": STATE, "args": None, "best": torch.tensor(0.9)},
        OrderedDict(model_state_dict=STATE, loss=0.1),
        nn.ParameterDict(
            {name.replace(".", "_"): tensor for name, tensor in STATE.items() if "num" not in name}
        ).state_dict(),
    ],
    ids=["state_dict", "model", "model_state_dict", "plain"],
)
def test_the_one_set_of_weights_in_a_checkpoint(tmp_path: Path, content: dict) -> None:
    found = load_state_file(saved(tmp_path / "model.pt", content))
    assert same(found) or found.keys() == content.keys()
    assert not any(tensor.requires_grad for tensor in found.values())


def test_several_sets_of_weights_need_a_choice(tmp_path: Path) -> None:
    average = {name: tensor + 1 for name, tensor in STATE.items()}
    path = saved(tmp_path / "model.pt", {"model": STATE, "ema": average})
    with pytest.raises(StorageError, match="several sets of weights; pass entry= one of 'model', 'ema'"):
        load_state_file(path)
    assert same(load_state_file(path, entry="model"))
    with pytest.raises(StorageError, match="no set of weights 'emma'; pass entry= one of 'model', 'ema'"):
        load_state_file(path, entry="emma")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({}, "no set of named tensors, but nothing"),
        ({"epoch": 3, "loss": [1.0]}, r"but 'epoch' \(int\), 'loss' \(list\)"),
        ([torch.ones(2)], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
    ],
)
def test_no_weights(tmp_path: Path, content: object, fault: str) -> None:
    with pytest.raises(StorageError, match=fault):
        load_state_file(saved(tmp_path / "model.pt", content))


@pytest.mark.parametrize("inside", [False, True])
def test_a_pickle_that_needs_code_is_refused_with_its_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    net = OwnNet(3, 2)
    path = saved(tmp_path / "net.pt", {"state_dict": net.state_dict(), "args": argparse.Namespace()} if inside else net)
    with pytest.raises(StorageError, match="only be read by running code") as caught:
        load_state_file(path)
    first, *conversion = str(caught.value).splitlines()
    assert ("Namespace" if inside else "OwnNet") in first
    assert len(conversion) == 3
    # The lines, run as printed where the file is, make a file that can be read.
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.strip() for line in conversion), {"torch": torch})
    (written,) = set(tmp_path.iterdir()) - {path}
    assert load_state_file(written).keys() == {"weight", "bias"}


@pytest.mark.parametrize("protocol", [2, 4])
def test_no_pickle_is_ever_run(tmp_path: Path, protocol: int) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(Trap(), protocol=protocol))
    for path in (plain, saved(tmp_path / "zipped.pt", {"model": STATE, "extra": Trap()})):
        with pytest.raises(StorageError):
            load_state_file(path)
    (tmp_path / "trap.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(StorageError, match="not a complete safetensors"):
        load_state_file(tmp_path / "trap.safetensors")
    assert not (tmp_path / "sprung").exists()


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says it is on its way out; users still have such files
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(StorageError):
        load_state_file(tmp_path / "script.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StorageError, match=re.escape(str(tmp_path / name))):
        load_state_file(tmp_path / name)


def test_truncated_files(tmp_path: Path) -> None:
    for path in (saved(tmp_path / "model.pt", STATE), tmp_path / "model.safetensors"):
        if path.suffix == ".safetensors":
            save_state_file(path, STATE)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(StorageError, match=r"damaged|not a complete"):
            load_state_file(path)


def test_views_that_only_mark_a_conjugate_or_a_sign(tmp_path: Path) -> None:
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    save_state_file(tmp_path / "a.safetensors", {"conjugate": numbers.conj(), "negative": numbers.conj().imag})
    found = load_state_file(tmp_path / "a.safetensors")
    assert found["conjugate"].tolist() == [1 - 2j, 3 + 4j]
    assert found["negative"].tolist() == [-2.0, 4.0]


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_what_a_file_cannot_hold(tmp_path: Path) -> None:
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    for tensors, words in (
        ({"a": torch.zeros(2, dtype=torch.complex128)}, r"'a' is torch.complex128.*torch.view_as_real\(x\)"),
        ({"a": quantized}, r"'a' is torch.qint8.*x.dequantize\(\)"),
        ({1: torch.zeros(2)}, "names that are text; got 1"),
    ):
        with pytest.raises(UsageError, match=words):
            save_state_file(tmp_path / "a.safetensors", tensors)
    assert list(tmp_path.iterdir()) == []


def test_names_and_places(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not end in \.safetensors"):
        load_state_file(tmp_path / "model.npz")
    with pytest.raises(StorageError, match="not a file"):
        load_state_file(tmp_path / "model.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(StorageError, match="not a file"):
        load_state_file(tmp_path / "folder.pt")
    with pytest.raises(UsageError, match="only format weights are written in"):
        save_state_file(tmp_path / "model.pt", STATE)
    with pytest.raises(StorageError, match="does not exist"):
        save_state_file(tmp_path / "nowhere" / "model.safetensors", STATE)


def test_saving_and_loading(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_state_file(path, STATE)
    assert same(load_state_file(path))
    assert same(load_file(path))  # safetensors' own reader agrees
    save_file({"other": torch.ones(2)}, tmp_path / "theirs.safetensors")
    assert torch.equal(load_state_file(tmp_path / "theirs.safetensors")["other"], torch.ones(2))


def test_loaded_tensors_do_not_hang_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_state_file(path, {"x": np.arange(4.0)})
    found = load_state_file(path)["x"]
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    assert found.tolist() == [0, 1, 2, 3]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_state_file(path, STATE)
    with pytest.raises(UsageError, match="'x' is a str"):
        save_state_file(path, {"x": "text"})
    assert same(load_state_file(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", [3, None, b"a.safetensors", ["a.safetensors"]])
def test_what_is_no_path(path) -> None:
    with pytest.raises(UsageError, match="save_state_file path must be text or a PathLike; got"):
        save_state_file(path, {"a": torch.ones(2)})
    with pytest.raises(UsageError, match="load_state_file path must be text or a PathLike; got"):
        load_state_file(path)
