import json

from thalweg.cli.main import main
from thalweg.storage import Store


def test_a_healthy_machine_is_0_and_strict_json(capsys, tmp_path):
    Store(tmp_path / "store")
    assert main(["doctor", "--store", str(tmp_path / "store"), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda word: 1 / 0)
    assert found["problems"] == []
    assert {"python", "thalweg", "torch", "tyro"} <= set(found["versions"])
    assert found["torch"]["threads"] >= 1
    assert found["store"]["there"] is True


def test_a_damaged_object_and_a_missing_package_are_named(capsys, tmp_path, monkeypatch):
    import importlib.metadata

    import numpy as np

    store = Store(tmp_path / "store")
    record = store.put("run", "one", {}, {"theta": {"theta": np.zeros(3)}})
    (tmp_path / "store" / "objects" / f"{record.objects['theta']}.safetensors").write_bytes(b"damaged")
    there = importlib.metadata.requires("thalweg")
    more = ["no-such-package>=1", "numpy>=1000", "other; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [*there, *more])
    assert main(["doctor", "--store", str(tmp_path / "store")]) == 1
    out = capsys.readouterr().out
    assert "The theta of the run 'one'" in out
    assert "no-such-package is not installed; run `pip install 'no-such-package>=1'`." in out
    assert f"numpy>=1000 is needed, and {np.__version__} installed" in out
    assert "other" not in out


def test_a_store_that_is_not_there_is_not_made(capsys, tmp_path):
    assert main(["doctor", "--store", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_way_of_the_store_is_named(capsys, tmp_path):
    (tmp_path / "store").write_text("mine")
    assert main(["doctor", "--store", str(tmp_path / "store")]) == 1
    assert f"{tmp_path / 'store'} is a file" in capsys.readouterr().out
