"""A figure as the output of a notebook's cell."""

import base64
import json
import re
import shutil
import subprocess
import webbrowser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, Line, SurfacePlot, figure, to_plotly
from thalweg.figures.to_plotly import notebook

SIDE = np.linspace(-1, 1, 5)


@pytest.fixture
def loss(nasty):
    return Figure.of(nasty, [Line([0, 1, 2], [3, 2, 1], label=nasty)], Axis("step"), Axis("loss"), caption=nasty)


@pytest.fixture
def kernel(monkeypatch):
    """A notebook: which cell runs, for the how-manieth time, and which cells were deleted."""
    here = SimpleNamespace(cell="a", run=1, deleted=[])
    shell = SimpleNamespace(
        kernel=True, get_parent=lambda: {"metadata": {"cellId": here.cell, "deletedCells": here.deleted}}
    )
    monkeypatch.setattr(notebook, "shell", lambda: SimpleNamespace(execution_count=here.run))
    monkeypatch.setattr(notebook, "cell", lambda: shell.get_parent()["metadata"])
    monkeypatch.setattr(notebook, "LIBRARY", notebook.Library())
    return here


def brings_plotly(drawn: str) -> bool:
    """Whether the packed script is among the arguments."""
    return len(drawn) > 1_000_000


def html_of(figure: Figure) -> str:
    bundle, _ = figure._repr_mimebundle_()
    return bundle["text/html"]


def test_a_figure_is_text_a_picture_and_html(loss) -> None:
    bundle, metadata = loss._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html", "image/png"]
    assert bundle["text/plain"] == repr(loss)
    assert len(repr(Figure.row([loss, loss], title="Two"))) < 100
    picture = base64.b64decode(bundle["image/png"])
    assert picture.startswith(b"\x89PNG")
    assert 300 < metadata["image/png"]["width"] < 1000
    assert bundle["image/png"] in bundle["text/html"]  # for where scripts do not run


def test_nothing_in_it_is_fetched_or_read_as_markup(loss, nasty) -> None:
    drawn = html_of(loss)
    assert nasty not in drawn
    assert re.findall(r'(?:src|href)="(?!data:)', drawn) == []
    assert drawn.count("<script>") == drawn.count("</script>") == 1


def test_without_a_kernel_every_figure_brings_plotly(loss) -> None:
    assert brings_plotly(html_of(loss))
    assert brings_plotly(html_of(loss))


def test_the_first_figure_of_a_kernel_brings_plotly_for_all(loss, kernel) -> None:
    assert brings_plotly(html_of(loss))
    kernel.cell, kernel.run = "b", 2
    assert not brings_plotly(html_of(loss))
    assert len(html_of(loss)) < 300_000


def test_the_cell_that_brought_plotly_brings_it_again_when_it_is_run_again(loss, kernel) -> None:
    assert brings_plotly(html_of(loss))
    assert not brings_plotly(html_of(loss))  # in the same output
    kernel.run = 2
    assert brings_plotly(html_of(loss))


def test_when_that_cell_is_deleted_another_brings_plotly(loss, kernel) -> None:
    assert brings_plotly(html_of(loss))
    kernel.cell, kernel.run, kernel.deleted = "b", 2, ["a"]
    assert brings_plotly(html_of(loss))
    kernel.cell, kernel.run, kernel.deleted = "c", 3, []
    assert not brings_plotly(html_of(loss))


def test_without_the_id_of_the_cell_every_figure_brings_plotly(loss, kernel) -> None:
    kernel.cell = None
    assert brings_plotly(html_of(loss))
    kernel.run = 2
    assert brings_plotly(html_of(loss))


def test_in_colab_every_output_is_a_page_of_its_own_and_brings_plotly(loss, kernel, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "google.colab", SimpleNamespace())
    assert brings_plotly(html_of(loss))
    kernel.cell, kernel.run = "b", 2
    assert brings_plotly(html_of(loss))


def test_showing_without_a_browser_says_what_to_write(loss, monkeypatch) -> None:
    def nothing(*_):
        raise webbrowser.Error

    monkeypatch.setattr(webbrowser, "get", nothing)
    with pytest.raises(UsageError, match=r'write \.save\("figure\.html"\)'):
        loss.show()
    monkeypatch.setattr(webbrowser, "get", lambda: SimpleNamespace(name="lynx"))
    with pytest.raises(UsageError, match="no browser"):
        loss.show()


def test_showing_in_a_notebook_displays_the_figure(loss, monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(figure, "shell", lambda: SimpleNamespace(kernel=True))
    monkeypatch.setitem(__import__("sys").modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(__import__("sys").modules, "IPython.display", SimpleNamespace(display=shown.append))
    loss.show()
    assert shown == [loss]


needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")


@needs_chromium
def test_chromium_draws_both_figures_with_the_script_of_the_first(loss, kernel, tmp_path) -> None:
    plain = Figure.of("Loss", loss.panels[0].marks)
    outputs = [html_of(loss), html_of(plain)]
    assert [brings_plotly(drawn) for drawn in outputs] == [True, False]
    path = tmp_path / "outputs.html"
    classic = "<style>.rendered_html img { display: block }</style>"  # of Notebook 6, which outranks [hidden]
    body = f'<body><div class="rendered_html">{outputs[1]}{outputs[0]}</div>'
    path.write_text(f"<!doctype html><meta charset='utf-8'>{classic}{body}", encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1000,3000", "--virtual-time-budget=20000", "--dump-dom", path.as_uri()]
    for _ in range(3):  # on a busy machine it may end before it has laid the page out
        page = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False).stdout
        if len(re.findall(r"<img [^>]*display: none", page)) == 2:
            break
    assert len(re.findall(r"<img [^>]*display: none", page)) == 2
    assert page.count('class="plot-container') == 2


def fitted(figure: Figure, width: int, *, touch: bool = False) -> tuple[dict, dict]:
    """Layout and configuration as `fit.js` makes them for a place of this width."""
    layout = json.loads(figure.to_plotly().to_json())["layout"]
    script = (
        f"const matchMedia = () => ({{ matches: {json.dumps(touch)} }});\n{to_plotly.FIT}\n"
        f"console.log(JSON.stringify(thalwegFit({json.dumps(layout)}, {{}}, {width})));"
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    layout, config = json.loads(done.stdout)
    return layout, config


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


@needs_node
def test_a_narrow_place_sees_a_surface_from_farther_away_and_a_wide_one_as_it_is() -> None:
    bowl = Figure.of("Bowl", [SurfacePlot(SIDE, SIDE, np.add.outer(SIDE**2, SIDE**2))], z=Axis("loss"))
    eyes = [fitted(bowl, width)[0]["scene"]["camera"]["eye"]["x"] for width in (1200, 450, 300)]
    assert eyes[0] == json.loads(bowl.to_plotly().to_json())["layout"]["scene"]["camera"]["eye"]["x"]
    assert eyes == sorted(eyes)
    assert eyes[2] > 1.3 * eyes[0]


@needs_node
def test_on_a_phone_the_axis_says_what_the_color_bar_said() -> None:
    bowl = Figure.of("Bowl", [SurfacePlot(SIDE, SIDE, np.add.outer(SIDE**2, SIDE**2))], z=Axis("loss"))
    layout, _ = fitted(bowl, 390)
    assert layout["coloraxis"]["showscale"] is False
    assert layout["scene"]["zaxis"]["title"]["text"] == "loss"
    wide, _ = fitted(bowl, 1200)
    assert "showscale" not in wide["coloraxis"]
    assert wide["scene"]["zaxis"]["title"]["text"] == ""


@needs_node
def test_where_fingers_scroll_there_is_no_toolbar_over_titles(loss) -> None:
    layout, config = fitted(loss, 390, touch=True)
    assert config == {"displayModeBar": False}
    assert layout["dragmode"] is False
    layout, config = fitted(loss, 1200)
    assert config == {}
    assert "dragmode" not in layout


def test_no_file_of_the_package_is_missing() -> None:
    folder = Path(notebook.__file__).parent
    assert {"fit.js", "notebook.js"} <= {path.name for path in folder.iterdir()}
