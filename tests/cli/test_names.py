import re
from pathlib import Path

import pytest

import thalweg
from thalweg.cli.main import VERBS, main
from thalweg.errors import UsageError
from thalweg.planned import PLANNED
from thalweg.studies import catalog, run

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", PLANNED)
def test_a_planned_name_is_answered_as_planned(name, capsys):
    for arguments in ([name], ["study", name]):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{name!r} is planned and not here yet: {PLANNED[name]}." in line
    with pytest.raises(UsageError, match="planned"):
        run(name)


def test_what_is_here_is_not_planned():
    assert not set(PLANNED) & {*VERBS, *catalog.MODULES}
    here = set(PLANNED) & set(thalweg.__all__)  # instruments of which the study is planned
    assert all(PLANNED[name].endswith("(study)") for name in here)
    assert catalog.find("landscape").name == "landscape"


def test_every_study_that_the_readme_plans_is_known():
    rows = re.findall(r"^\| (`.*`) \|.*\| planned \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]
    assert "two-views" in names
    assert set(names) <= set(PLANNED)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Two-Views"], "'two-views' is planned"),
        (["two_views"], "'two-views' is planned"),
        (["study", "two-view"], "'two-views' is planned"),
        (["study", "optimisers"], "Did you mean 'optimizers'?"),
        (["landscape"], "'landscape' is a study; write: thalweg study landscape."),
        (["tuor"], "Did you mean 'tour'?"),
        (["help"], "thalweg --help"),
        ([], "Begin with `thalweg tour`"),
    ],
)
def test_other_words_are_answered_with_what_to_write(arguments, words, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_planned_attribute_of_the_package_says_so():
    with pytest.raises(AttributeError, match="'examine' is planned and not here yet"):
        _ = thalweg.examine
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        _ = thalweg.nothing
