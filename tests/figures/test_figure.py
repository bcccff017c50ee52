import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from thalweg.errors import StorageError, UsageError
from thalweg.figures import (
    Axis,
    Bars,
    Contour,
    Density,
    Figure,
    HeatMap,
    Histogram,
    Line,
    Panel,
    ReferenceLine,
    Scatter,
    SurfacePlot,
    TrajectoryLine,
)

GRID = np.arange(6.0).reshape(2, 3)
MARKS = {
    "trajectory": TrajectoryLine([0, 1, np.nan, 2], [1, 2, 3, 1], label="path"),
    "line": Line([1, 2, 3], [1, np.nan, 3], low=[0, 0, np.inf], high=[2, 2, 4], label="SGD"),
    "thin line": Line([1, 2, 3], [1, 2, 3], thin=True),
    "scatter": Scatter([1, 2], [3, 4], error=[0.1, np.nan], size=4, color=[1, 2], label="Adam"),
    "heat map": HeatMap([1, 2, 3], [0, 1], GRID, label="loss"),
    "contour": Contour([1, 2, 3], [0, 1], GRID, levels=[4, 1, 1]),
    "surface": SurfacePlot([3, 2, 1], [0, 1], GRID),
    "histogram": Histogram([1.0, 2, 2, np.nan], bins=[0, 1.5, 3], label="weights"),
    "histogram with a number of bins": Histogram([1.0, 2, 2], bins=5, density=True),
    "density": Density([0, 1, 2], [0, 1, 0], label="all"),
    "bars": Bars(["a", "b"], [1, 2], low=[0, 1], high=[2, 3], label="90 %"),
    "rule": ReferenceLine(0.5, "vertical", label="limit"),
}


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)
def test_json_gives_back_every_mark(mark: object) -> None:
    figure = Figure.of("t", [mark], Axis("lr", "1", "log", (1e-3, 1)), Axis("loss"), Axis("z"), caption="c", alt="a")
    text = figure.to_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    back = Figure.from_json(text)
    assert back.to_document() == figure.to_document()
    (panel,), (given,) = back.panels, figure.panels
    assert (panel.x, panel.y, panel.z) == (given.x, given.y, given.z)
    for name, value in vars(mark).items():
        np.testing.assert_array_equal(getattr(panel.marks[0], name), value)


def test_json_gives_back_panels() -> None:
    row = Figure.row([Figure.of("a", [MARKS["line"]], caption="One."), Figure.of("b", [MARKS["bars"]], caption="Two.")])
    back = Figure.from_json(row.to_json())
    assert back.to_document() == row.to_document()
    assert [panel.title for panel in back.panels] == ["a", "b"]
    assert row.caption == "One. Two."


@pytest.mark.parametrize(
    ("marks", "fault"),
    [
        ([], "has no marks"),
        ([MARKS["surface"], MARKS["line"]], "SurfacePlot cannot share"),
        ([MARKS["bars"], MARKS["line"]], "Bars stand on categories"),
        (["line"], "and not str"),
    ],
)
def test_marks_that_cannot_share_axes(marks: list, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Figure.of("t", marks)


def test_a_row_takes_panels_and_the_panels_of_rows() -> None:
    one, two = Figure.of("a", [MARKS["line"]], caption="One."), Figure.of("b", [MARKS["bars"]], caption="Two.")
    row = Figure.row([Figure.row([one, two]), Panel("c", [MARKS["rule"]]), one], title="All")
    assert [panel.title for panel in row.panels] == ["a", "b", "c", "a"]
    assert row.caption == "One. Two. One."
    with pytest.raises(UsageError, match="has no panels"):
        Figure.row([])
    with pytest.raises(UsageError, match="a Panel or a Figure"):
        Figure.row(["a"])


def test_what_a_figure_of_a_row_says_for_itself_is_kept() -> None:
    row = Figure.row([Figure.of("a", [MARKS["line"]], alt="One falls."), Figure.of("b", [MARKS["rule"]])], title="All")
    assert row.description == "All. One falls. b (vertical rule at 0.5: limit)."


def test_further_marks_come_on_top_and_leave_the_figure_alone() -> None:
    figure = Figure.of("a", [MARKS["line"]], Axis("step"), caption="One.", alt="A line.")
    more = figure.with_marks(MARKS["rule"], MARKS["density"])
    assert more.panels[0].marks == (MARKS["line"], MARKS["rule"], MARKS["density"])
    assert (more.title, more.panels[0].title, more.caption, more.alt) == ("a", "a", "One.", "A line.")
    assert more.panels[0].x == Axis("step")
    assert len(figure.panels[0].marks) == 1
    renamed = figure.with_marks(title="b")
    assert (renamed.title, renamed.panels[0].title) == ("b", "b")
    over = Figure.row([figure], title="over").with_marks(title="b")
    assert (over.title, over.panels[0].title) == ("b", "a")
    with pytest.raises(UsageError, match="of one panel, and 'two' has 2"):
        Figure.row([figure, figure], title="two").with_marks(MARKS["rule"])
    with pytest.raises(UsageError, match="SurfacePlot cannot share"):
        figure.with_marks(MARKS["surface"])


def test_without_its_title_a_figure_keeps_those_of_a_row() -> None:
    figure = Figure.of("a", [MARKS["line"]], caption="One.")
    bare = figure.untitled()
    assert (bare.title, bare.panels[0].title, bare.caption) == ("", "", "One.")
    row = Figure.row([figure, figure], title="All").untitled()
    assert (row.title, [panel.title for panel in row.panels]) == ("", ["a", "a"])
    alone = Figure.row([figure], title="All").untitled()
    assert alone.panels[0].title == "a"


@pytest.mark.parametrize("title", ["", "All"])
def test_a_title_is_written_once_and_that_of_a_panel_in_a_row_below_it(title: str) -> None:
    single = Figure.of("a", [MARKS["line"]])
    row = Figure.row([single], title=title)
    assert single.to_plotly().layout.title.text == "a"
    assert not single.to_plotly().layout.annotations
    assert [note.text for note in row.to_plotly().layout.annotations] == ["a"]
    assert row.to_plotly().layout.title.text == title
    assert single.to_matplotlib()._suptitle is None
    above = row.to_matplotlib()._suptitle
    assert (above.get_text() if above else "") == title
    assert row.to_matplotlib().axes[0].get_title(loc="left") == "a"


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Line([1, 2], [1]), "one length"),
        (lambda: Line([1], [1], low=[0]), "both low and high"),
        (lambda: Line(["a"], [1]), "needs numbers"),
        (lambda: Scatter([[1]], [[1]]), "one-dimensional"),
        (lambda: HeatMap([0, 1], [0, 1, 2], GRID), r"z of shape \(len\(y\), len\(x\)\)"),
        (lambda: HeatMap([], [], np.ones((0, 0))), "not empty"),
        (lambda: Bars(["a", "a"], [1, 2]), "different label"),
        (lambda: Line([1], [1], thin=2), "thin of a Line must be True or False"),
        (lambda: ReferenceLine(np.nan), "finite"),
        (lambda: ReferenceLine(1, "diagonal"), "diagonal"),
        (lambda: Density.estimate([1.0, 1.0, np.nan]), "two different"),
        (lambda: Axis("x", scale="logarithmic"), "linear or log"),
        (lambda: Axis("x", scale="log", limits=(0, 1)), "from above 0"),
        (lambda: Axis("x", limits=(1, 1)), "ascend"),
        (lambda: Axis("x", limits=(0, np.inf)), "finite"),
        (lambda: Axis("x", limits=(0, 1, 2)), "two numbers"),
        (lambda: Axis(3), "label of an axis must be text"),
        (lambda: Line([1], [1], label=0.1), "label of a Line must be text"),
        (lambda: Figure.of(1, [ReferenceLine(1)]), "title of a figure must be text"),
        (lambda: Line(torch.ones(1, requires_grad=True), [1]), "requires grad"),
        (lambda: Scatter([1], [1], error=[-0.1]), "no negative error"),
        (lambda: Scatter([1], [1], size=0), "size above 0"),
        (lambda: Histogram([1.0], bins=0), "a number from 1"),
        (lambda: Histogram([1.0], bins=[2, 1]), "edges that ascend"),
        (lambda: HeatMap([0, 3, 1], [0, 1], GRID), "x of a HeatMap ascends or descends"),
        (lambda: SurfacePlot([0, 1, 2], [0, 0], GRID), "y of a SurfacePlot ascends or descends"),
        (lambda: Contour([0, np.nan, 2], [0, 1], GRID), "finite"),
        (lambda: Contour([0, 1, 2], [0], GRID[:1]), "at least 2 rows and 2 columns"),
        (lambda: Contour([0, 1, 2], [0, 1], GRID, levels=[np.nan, 1]), "levels of a Contour are finite"),
        (lambda: ReferenceLine("a"), "needs numbers"),
        (lambda: ReferenceLine([1, 2]), "finite value"),
        (lambda: Figure.of("t", [HeatMap([0, 1, 2], [1, 2], GRID)], Axis(scale="log")), "log axis does not reach"),
    ],
)
def test_marks_and_axes_that_cannot_be_meant(make: object, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        make()


def test_histogram_counts_the_finite_values() -> None:
    values = np.array([0.1, 0.2, 0.7, np.nan, np.inf, 5])
    counted = Histogram(values, bins=[0, 0.5, 1])
    assert counted.heights.tolist() == [2, 1]
    area = Histogram(values, bins=[0, 0.5, 1, 6], density=True)
    assert np.sum(area.heights * np.diff(area.edges)) == pytest.approx(1)


def test_what_is_done_to_a_buffer_later_does_not_change_the_mark() -> None:
    buffer, lines = np.zeros(2), []
    for height in (1.0, 2.0):
        buffer[:] = height
        lines.append(Line([0, 1], buffer))
    assert [line.y.tolist() for line in lines] == [[1, 1], [2, 2]]
    with pytest.raises(ValueError, match="read-only"):
        lines[0].y[0] = 3


def test_numbers_of_numpy_are_written_as_json() -> None:
    marks = [Scatter([1], [1], size=np.float32(3)), Histogram([1.0, 2.0], bins=np.int64(5))]
    back = Figure.from_json(Figure.of("t", marks).to_json()).panels[0].marks
    assert (back[0].size, len(back[1].heights)) == (3.0, 5)


def test_values_too_close_for_their_bins_get_fewer() -> None:
    close = Histogram([1.0, np.nextafter(1.0, 2)])
    assert close.heights.sum() == 2
    assert (np.diff(close.edges) > 0).all()


def test_a_density_of_nothing_inside_has_no_height() -> None:
    assert Histogram([5.0, 6.0], bins=[0, 1, 2], density=True).heights.tolist() == [0, 0]


def test_estimated_density_is_the_density() -> None:
    # At the quantiles of a normal sample: their kernel estimate is the normal density smoothed by the bandwidth.
    sample = norm.ppf((np.arange(2000) + 0.5) / 2000)
    density = Density.estimate(np.append(sample, np.nan))
    bandwidth = 2000 ** (-1 / 5)  # Scott's
    np.testing.assert_allclose(density.y, norm.pdf(density.x, scale=np.hypot(1, bandwidth)), atol=2e-3)
    assert np.trapezoid(density.y, density.x) == pytest.approx(1, abs=1e-3)


def test_description_is_made_when_there_is_no_alt() -> None:
    figure = Figure.of("Loss", [MARKS["line"], ReferenceLine(1, label="target")], Axis("step"), Axis("loss", "nats"))
    assert figure.description == "Loss: loss (nats) against step (line SGD, horizontal rule at 1: target)."
    assert Figure.of("Loss", [MARKS["line"]], alt="One curve falls.").description == "One curve falls."
    assert Figure.row([figure], title="All").description == f"All. {figure.description}"


def test_a_description_calls_every_mark_by_a_plain_name() -> None:
    called = {
        "trajectory": "trajectory path",
        "scatter": "points Adam",
        "heat map": "heat map loss",
        "contour": "contour lines",
        "surface": "surface",
        "histogram": "histogram weights",
        "density": "density all",
        "bars": "bars 90 %: a, b",
    }
    for name, words in called.items():
        assert Figure.of("t", [MARKS[name]]).description == f"t ({words})."


@pytest.mark.parametrize("ending", ["pdf", "svg", "png", "html", "json"])
def test_saving_writes_the_named_format(tmp_path: Path, ending: str) -> None:
    path = Figure.of("t", [MARKS["line"]], Axis("x"), Axis("y")).save(tmp_path / f"figure.{ending}")
    start = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG", "html": b"<!doctype html>", "json": b"{"}[ending]
    assert path.read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [f"figure.{ending}"]


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    figure = Figure.of("t", [MARKS["heat map"], MARKS["contour"]], z=Axis("loss"))
    first, second = (figure.save(tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
    assert first == second


def test_saving_what_or_where_it_cannot(tmp_path: Path) -> None:
    figure = Figure.of("t", [MARKS["line"]])
    with pytest.raises(UsageError, match=r"\.pdf, \.svg"):
        figure.save(tmp_path / "figure.jpg")
    with pytest.raises(StorageError, match="does not exist"):
        figure.save(tmp_path / "nowhere" / "figure.json")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a file is in the way"):
        figure.save(tmp_path / "file" / "figure.json")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"title": 1}'])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match=r"not JSON|not a figure"):
        Figure.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"marks": []},
        {"marks": [{"mark": "Ring"}]},
        {"title": None},
        {"x": {"label": "", "unit": "", "scale": "cubic", "limits": None}},
        {"x": {"label": "", "unit": "", "scale": "log", "limits": [1, 2, 3]}},
    ],
)
def test_a_figure_that_was_altered_is_refused(change: dict) -> None:
    document = Figure.of("t", [MARKS["line"]]).to_document()
    with pytest.raises(StorageError, match="not a figure"):
        Figure.from_document(document | {"panels": [document["panels"][0] | change]})


def test_thin_lines_stand_behind_others() -> None:
    """Half as wide, without marked points, grey where they have no label, and they take no color of the others."""
    lines = [Line([0, 1], [number, 2.0], thin=True) for number in range(3)]
    named, mean = Line([0, 1], [0, 1], label="one", thin=True), Line([0, 1], [1, 2], label="mean")
    figure = Figure.of("t", [*lines, named, mean])
    drawn = figure.to_matplotlib().axes[0].lines
    assert [line.get_linewidth() for line in drawn] == [drawn[4].get_linewidth() / 2] * 4 + [drawn[4].get_linewidth()]
    assert {line.get_color() for line in drawn[:3]} == {"#6b6b6b"}
    assert {line.get_marker() for line in drawn[:4]} == {"None"}
    assert drawn[4].get_marker() != "None"
    traces = figure.to_plotly().data
    assert [trace.mode for trace in traces] == ["lines"] * 4 + ["lines+markers"]
    assert [trace.line.color for trace in traces[:3]] == ["#6b6b6b"] * 3
    assert traces[3].line.width == traces[4].line.width / 2
    assert len({line.get_color() for line in drawn[3:]}) == 2


def test_a_figure_is_saved_to_a_path() -> None:
    figure = Figure.of("Loss", [Line([0, 1], [3, 2])], Axis("step"), Axis("loss"))
    with pytest.raises(UsageError, match=r"Figure\.save path must be text or a PathLike; got 3"):
        figure.save(3)  # type: ignore[arg-type]
