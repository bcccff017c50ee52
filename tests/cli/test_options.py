"""Values that an option cannot take: one line on stderr, nothing on stdout, exit code 2."""

import pytest
import torch

from thalweg.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("tour --seed abc", "--seed must be a whole number; got 'abc'. Write --seed 0."),
        ("study optimizers --seed 1.5", "--seed must be a whole number; got '1.5'. Write --seed 0."),
        ("tour --scale qick", "There is no --scale 'qick'. Did you mean 'quick'? Known: full, quick."),
        ("train --steps -5", "--steps must be a whole number of at least 1; got '-5'. Write --steps 1000."),
        ("train --seeds 0", "--seeds must be a whole number of at least 1; got '0'. Write --seeds 5."),
        ("train --warmup -1", "--warmup must be a whole number of at least 0; got '-1'. Write --warmup 100."),
        ("train --batch-size 0", "--batch-size must be a whole number of at least 1; got '0'. Write --batch-size 128."),
        (
            "train --batch-size 100000",
            "--batch-size 100000 is more than the 1,437 examples that digits trains on; "
            "for full batches write --batch-size 1437.",
        ),
        (
            "train --hidden 8 0",
            "--hidden must be widths of hidden layers, whole numbers of at least 1; got '8 0'. Write --hidden 128 128.",
        ),
        (
            "train --hidden",
            "--hidden must be widths of hidden layers, whole numbers of at least 1; got nothing. "
            "Write --hidden 128 128.",
        ),
        ("train --lr fast", "--lr must be one or more learning rates; got 'fast'. Write --lr 0.001 0.01."),
        ("train --decay much", "--decay must be a number; got 'much'. Write --decay 0.01."),
        ("train --device gpu", "There is no device 'gpu'; here torch can use cpu"),
        ("train --net", "--net needs a value, and none follows it; `thalweg train --help` says which."),
        ("tour --scale --out x", "--scale needs a value, and none follows it; `thalweg tour --help` says which."),
        ("train --stepz 3", "thalweg train has no option --stepz. Did you mean --steps? Known: --batch-size, --clip-"),
        ("train --hiden 3 --foo", "thalweg train has no option --hiden. Did you mean --hidden? Known: "),
        ("study optimizers --foo=3", "thalweg study has no option --foo. Known: --device, --json, --no-save, --out"),
        ("errata -j x", "thalweg errata has no option -j. Known: --json."),
        ("study optimizers --no-save=3", "--no-save takes no value; write --no-save alone."),
        ("study", "thalweg study needs NAME; `thalweg study --help` says what it is."),
        ("study optimizers extra", "thalweg study takes NAME and options; got 'extra' besides. `thalweg study --help`"),
        ("train 3", "thalweg train takes options only; got '3' besides. `thalweg train --help` lists them."),
        ("report one two", "thalweg report takes STORE and options; got 'two' besides."),
        ("--steps 3", "--steps stands before the verb; write thalweg VERB --steps, where VERB is one of tour, study, "),
    ],
)
def test_it_is_one_sentence(arguments, sentence, capsys):
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[-1].startswith(f"thalweg: {sentence}")
    assert [line for line in lines if not line.startswith("Thalweg's tour")] == lines[-1:]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train --steps=0", "--steps must be a whole number of at least 1; got '0'"),
        ("train --batch_size 0", "--batch-size must be a whole number of at least 1; got '0'"),
        ("train --lr -1e-3 .5 --steps 0", "--steps must be a whole number"),
        ("study --no-save nosuch", "There is no study 'nosuch'"),
        ("show --csv reading/x --store nowhere", "There is no store at nowhere"),
        ("errata --json - besides", "got 'besides' besides"),
    ],
)
def test_options_are_told_from_their_values_and_from_words(arguments, sentence, capsys):
    """What is right is not refused: each is read up to the mistake that is asked for."""
    assert main(arguments.split()) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has one")
@pytest.mark.parametrize("verb", [["study", "fake"], ["tour"], ["train", "--steps", "1"]])
def test_a_device_that_is_not_here_is_found_before_the_work(verb, catalog_of_one, capsys, place):
    assert main([*verb, "--device", "mps"]) == 2
    assert "The device is 'mps', which torch cannot use here; it can use cpu" in capsys.readouterr().err
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show"], "There is no store at thalweg-report/store, which does not exist."),
        (["report"], "There is no store at thalweg-report/store, which does not exist."),
        (["show", "--store", "."], "There is no store at ., which has no thalweg.db in it."),
        (["report", "file"], "There is no store at file, which is a file."),
    ],
)
def test_no_store_is_wrong_use(arguments, words, capsys, place):
    (place / "file").write_text("mine")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "`thalweg tour` or `thalweg study NAME` makes thalweg-report/store" in err
    assert [path.name for path in place.iterdir()] == ["file"]


@pytest.mark.parametrize("verb", ["tour", "study"])
def test_help_says_what_quick_changes_and_how_long_full_takes(verb, capsys):
    assert main([verb, "--help"]) == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("fewer seeds, and also fewer steps and smaller sizes", "stays undecided", "full about 10 minutes"):
        assert part in words
