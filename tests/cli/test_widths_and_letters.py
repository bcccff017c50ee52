"""COLUMNS is heeded in a pipe, and streams that lack letters, are full or are closed do no harm."""

import contextlib
import functools
import json
import os
import subprocess
import sys

import pytest
from processes import Prepared

from thalweg.cli import output, tables
from thalweg.cli.main import VERBS, main

ENGLISH = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # an environment of ASCII


@pytest.fixture(scope="module")
def english():
    """The command in a process of its own, which began in that environment, its stdout in a pipe."""
    prepare = "from thalweg.cli.main import main; from thalweg.studies import catalog; catalog.studies()"
    with contextlib.closing(Prepared(prepare, ENGLISH)) as prepared:
        yield functools.partial(prepared.run, "sys.exit(main())")


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("arguments", [["studies"], ["errata"], ["study", "fake"], ["doctor"], ["train"]], ids=" ".join)
def test_no_line_is_wider_than_columns(arguments, columns, catalog_of_one, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    small = ["--hidden", "4", "--steps", "1", "--seeds", "2", "--batch-size", "16", "--lr", "0.1", "0.01"]
    assert main([*arguments, *(small if arguments == ["train"] else [])]) == 0
    lines = capsys.readouterr().out.splitlines()
    paths = ("The report is", "Open it:", "All results")  # to be copied
    assert max(len(line) for line in lines if not line.startswith(paths)) <= columns


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_help_is_as_wide_as_columns(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert main([*verb, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_the_list_of_studies_reads_from_top_to_bottom(catalog_of_one, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["studies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("  FK1   Momentum is faster.")
    assert lines[start + 1] == "        ratio of steps: holds if wholly above 1.1, the"
    assert lines[start + 2].startswith("          smallest effect worth having; fails if")
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("planned: two-views") for line in lines[-3:])


def test_verdicts_are_blocks_where_a_table_would_be_too_narrow(catalog_of_one, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["study", "fake"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "claim: FK1",
        "  statement: Momentum is faster.",
        "  verdict: ✓ holds",
        "  estimate [95 % interval]: 2 [1.5, inf]",
        "  unit: ratio of steps",
        "  n: 5",
    ]


@pytest.mark.parametrize(
    ("told", "width"), [("60", 60), ("5", 40), ("0", 150), ("-3", 150), ("wide", 150), ("", 150), (None, 150)]
)
def test_columns_that_are_none_are_not_heeded(told, width, monkeypatch, capfd):
    if told is not None:
        monkeypatch.setenv("COLUMNS", told)
    assert tables.width() == width


@pytest.mark.parametrize(
    "arguments", [["--help"], ["study", "--help"], ["studies"], ["errata"], ["doctor"]], ids=" ".join
)
def test_ascii_is_enough(arguments, english):
    done = english(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"UnicodeEncodeError" not in done.stderr


def test_json_loses_no_letter_in_ascii(capsys, monkeypatch):
    class Ascii:
        encoding = "ascii"
        written = ""

        def write(self, text):
            self.written += text

        def flush(self):
            pass

    stream = Ascii()
    monkeypatch.setattr(sys, "stdout", stream)
    output.write_json("-", output.as_json({"name": "Müller ✓"}))
    assert stream.written.isascii()
    assert json.loads(stream.written) == {"name": "Müller ✓"}
    stream.written = ""
    output.say("✓ holds ─ ü")
    assert stream.written == "+ holds - ?\n"


@pytest.mark.skipif(os.name != "posix", reason="has no such redirections")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_is_one_that_nobody_reads(closed):
    code = "import sys; from thalweg.cli.main import main; from thalweg.studies import catalog; catalog.MODULES = {}; "
    command = ["sh", "-c", f'"$0" "$@" {closed}', sys.executable, "-c", f"{code}sys.exit(main())", "errata"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("Nesterov" in done.stdout) == (closed == "2>&-")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_stderr_that_is_full_stops_nothing(english):
    with open("/dev/full", "w") as full:
        done = english("train", "--hidden", "4", "--steps", "1", "--seeds", "1", stderr=full.fileno())
    assert done.returncode == 0
    assert "0.001" in done.out


class Terminal:
    """A stream that says it is a terminal, and keeps what is written."""

    encoding = "utf-8"

    def __init__(self):
        self.written = ""

    def isatty(self):
        return True

    def write(self, text):
        self.written += text

    def flush(self):
        pass

    def fileno(self):
        raise OSError


@pytest.mark.parametrize(("setting", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colors_are_for_terminals_that_want_them(setting, colored, monkeypatch, catalog_of_one):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    shown = []
    for arguments in (["--help"], ["study", "fake", "--no-save"]):
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(arguments) == 0
        shown.append("\x1b[3" in stream.written or "\x1b[1;3" in stream.written or "\x1b[9" in stream.written)
    assert shown[1] == colored
    assert shown[0] <= colored
