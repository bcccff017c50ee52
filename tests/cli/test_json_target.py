"""Where `--json` writes to: files, links, pipes and devices."""

import json
import os
import socket

import pytest

from thalweg.cli.main import main


@pytest.mark.parametrize(
    "verb", [["study", "fake"], ["train", "--steps", "1000000"], ["studies"], ["errata"], ["doctor"]], ids=" ".join
)
def test_a_json_file_that_cannot_be_written_is_found_before_the_work(verb, catalog_of_one, capsys, tmp_path):
    folder = tmp_path / "missing"
    assert main([*verb, "--json", str(folder / "result.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"result.json is in a folder that does not exist; make {folder}, or name another file.")
    assert main([*verb, "--json", str(tmp_path)]) == 2
    assert f"name a file in it, such as {tmp_path / 'result.json'}" in capsys.readouterr().err
    assert main([*verb, "--json", ""]) == 2
    assert "is a folder; name a file in it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_json_goes_into_what_a_link_leads_to(catalog_of_one, tmp_path):
    kept, link, far = tmp_path / "kept.json", tmp_path / "link.json", tmp_path / "folder" / "far.json"
    far.parent.mkdir()
    kept.write_text("before")
    link.symlink_to(far)
    far.symlink_to(kept)
    assert main(["study", "fake", "--json", str(link)]) == 0
    assert link.is_symlink()
    assert far.is_symlink()
    assert not kept.is_symlink()
    assert json.loads(kept.read_text())["seed"] == 0
    kept.unlink()
    assert main(["study", "fake", "--json", str(link)]) == 0  # a link to what is not there yet
    assert json.loads(kept.read_text())["seed"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "kept.json", "link.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes with names")
@pytest.mark.parametrize("linked", [False, True])
def test_json_goes_into_a_pipe_which_stays(linked, catalog_of_one, tmp_path):
    pipe = named = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        named = tmp_path / "link"
        named.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that writing waits for nobody
    try:
        assert main(["study", "fake", "--json", str(named)]) == 0
        assert json.loads(os.read(reader, 2**16))["seed"] == 0
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert named.is_symlink() == linked
    assert len(list(tmp_path.iterdir())) == 1 + linked


@pytest.mark.skipif(os.name != "posix", reason="has no devices in its folders")
def test_json_into_a_device_leaves_the_device(catalog_of_one, tmp_path):
    link = tmp_path / "null"
    link.symlink_to(os.devnull)  # never the device itself: where this test fails, it would be lost
    assert main(["study", "fake", "--json", str(link)]) == 0
    assert link.is_symlink()
    assert link.is_char_device()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="has no sockets in its folders")
def test_json_into_what_is_no_file_is_refused_before_the_work(catalog_of_one, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("listening")
        assert main(["study", "fake", "--json", "listening"]) == 2
        assert "--json listening is neither a file nor a pipe; name a file" in capsys.readouterr().err
        assert (tmp_path / "listening").is_socket()
