import base64
import dataclasses
import hashlib
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from thalweg import report
from thalweg.claims import Claim, Finding, Judgment, Part, StudyResult, greater, less, within
from thalweg.errors import StorageError
from thalweg.figures import Axis, Figure, HeatMap, ReferenceLine, SurfacePlot, TrajectoryLine
from thalweg.figures.style import INK, VEIL
from thalweg.markup import number
from thalweg.report.figures import drawing
from thalweg.report.numbers import numbers
from thalweg.report.verdicts import bar
from thalweg.statistics import Interval
from thalweg.studies import run

VOID = {"meta", "img", "br", "line", "path", "circle"}


class Page(HTMLParser):
    """Every element with its attributes, the text of each script, and a check that tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self._open, self.words = [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._open and self._open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def text(fake_study):
    return report.page([run(fake_study)])


@pytest.fixture
def page(text):
    return Page(text)


def test_nothing_is_fetched(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:80])
    style = re.search(r"<style>(.*?)</style>", report.page([]), re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_these_scripts_and_nothing_else(page):
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    run_by_browser = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run_by_browser]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert "unsafe-eval" not in policy
    assert len(run_by_browser) == 2
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_text_from_elsewhere_is_only_text(page, nasty):
    # Title, table, heading, correction, sentence, caption and numbers, each read back letter by letter.
    assert "".join(page.words).count(nasty) >= 7
    assert page.all("b") == []
    # The scripts are the two of the page and one of data for each figure: none began inside a text.
    assert len(page.scripts) == 2 + 1 + 3
    assert all(json.loads(script) for a, script in page.scripts if a.get("type") == "application/json")


def test_every_claim_has_its_place_and_can_be_reached(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {attributes["href"][1:] for attributes in page.all("a")}
    assert links <= {*ids}
    assert {"FK1-quick-0", "FK2-quick-0", "FK3-quick-0", "verdicts", "study-fake-quick-0"} <= links
    assert len(page.all("article")) == 3
    words = " ".join(page.words)
    rule = "fails if wholly below it (opposite if also below 1, else too small to matter)"
    for part in ("Momentum accelerates.", rule, "made up; n = 5", "2 [1.5, ∞]"):
        assert part in words
    assert "thalweg study fake --scale quick --seed 0" in words
    assert "--scale full" in words


def test_two_scales_and_seeds_on_one_page_do_not_share_a_place(fake_study):
    page = Page(report.page([run(fake_study), run(fake_study, scale="full"), run(fake_study, seed=1)]))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {attributes["href"][1:] for attributes in page.all("a")} <= {*ids}
    assert "full, 0" in page.words


def test_on_a_phone_it_is_the_sample_that_is_called_n(fake_study):
    text = report.page([run(fake_study), run(fake_study, scale="full")])
    cells = re.findall(r'<td class="numeric size">(\d+)</td>', text)
    assert cells == ["5", "8", "1"] * 2
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    (selector,) = re.findall(r'(\S+)::before { content: "n = "; }', style)
    assert selector == "td.size"


def test_numbers_of_like_mappings_are_a_table_with_columns():
    best = {"SGD": {"rate": 0.1, "decay": 0.0}, "Adam": {"rate": 0.001, "decay": 0.01}}
    shown = Page(numbers({"best": best, "steps": {"SGD": 3, "Adam": 2.5}, "ends": [1.0, math.inf]}))
    words = "|".join(shown.words[1:])
    assert words == "best|rate|decay|SGD|0.1|0|Adam|0.001|0.01|steps|SGD|3|Adam|2.5|ends|1, ∞"
    assert numbers({}) == ""


def test_what_is_too_small_to_matter_is_drawn_apart():
    shapes = [a for _, a in Page(drawn(greater(0, worth=1), 0.2, 0.4, 0.6)).elements]
    ends = {a["class"]: (float(a["x1"]), float(a["x2"])) for a in shapes if a.get("class") in ("holding", "small")}
    assert ends["small"][1] == ends["holding"][0]
    assert ends["small"][0] < ends["small"][1] < ends["holding"][1]


def test_badges_say_it_in_words_and_signs(page):
    words = [word.strip() for word in page.words]
    for sign, outcome in (("✓", "holds"), ("✗", "fails"), ("?", "undecided")):
        assert outcome in words[words.index(sign) + 1 : words.index(sign) + 2]


def test_every_surface_of_a_panel_has_its_map_in_the_panels_colors():
    side = np.linspace(-1, 1, 5)
    bowl = np.add.outer(side**2, side**2)
    marks = [SurfacePlot(side, side, bowl + height, label=name) for name, height in (("before", 0), ("after", 7))]
    drawn = drawing(Figure.of("Two", marks, z=Axis("loss")), "two")
    maps, _ = (json.loads(data) for data in re.findall(r"<script[^>]*>(.*?)</script>", drawn.data))
    shown = [trace for trace in maps["data"] if trace["type"] == "heatmap"]
    assert len(shown) == 2
    layout = maps["layouts"][0][1]
    assert [(layout[name]["cmin"], layout[name]["cmax"]) for name in ("coloraxis", "coloraxis2")] == [(0, 9)] * 2
    assert {note["text"] for note in layout["annotations"]} == {"Two: before", "Two: after"}


def test_panels_are_arranged_by_the_width_there_is():
    panels = [Figure.of(name, [ReferenceLine(1), HeatMap([0, 1], [0, 1], np.eye(2))]) for name in "abc"]
    drawn = drawing(Figure.row(panels), "row")
    (data,) = (json.loads(data) for data in re.findall(r"<script[^>]*>(.*?)</script>", drawn.data))
    widths = [least for least, _ in data["layouts"]]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0
    columns = [
        len({tuple(layout[name]["domain"]) for name in ("xaxis", "xaxis2", "xaxis3")}) for _, layout in data["layouts"]
    ]
    assert columns == [3, 2, 1]


def test_labels_of_landmarks_stand_apart():
    picture = drawn(greater(1e-4, worth=2e-4), 0.0015, 0.003, 0.004)
    labels = re.findall(r'<text x="([\d.]+)" dx="(-?\d+)" y="41" text-anchor="(\w+)">([^<]*)</text>', picture)
    ends = []
    for x, shift, anchor, label in labels:
        left = float(x) + int(shift) - {"start": 0, "middle": 0.5, "end": 1}[anchor] * 6.5 * len(label)
        ends.append((left, left + 6.5 * len(label)))
    assert [label for *_, label in labels] == ["0.0001", "0.0002"]
    assert ends[1][0] - ends[0][1] > 6


@pytest.mark.parametrize(
    ("value", "written"),
    [(12345.0, "12,345"), (69314.4, "69,314"), (69314, "69,314"), (9999, "9999"), (1234.5, "1234"), (3e-7, "3e-07")],
)
def test_long_numbers_are_whole(value, written):
    assert number(value) == written


def test_every_figure_has_a_picture_a_description_and_its_data(page):
    figures = [a for a in page.all("figure") if "data-plot" in a]
    assert [a["id"] for a in figures] == ["FK1-quick-0-figure-1", "FK2-quick-0-figure-1-flat", "FK2-quick-0-figure-1"]
    assert [("data-spatial" in a) for a in figures] == [False, False, True]
    pictures = page.all("img")
    assert all(a["alt"] for a in pictures)
    for picture in pictures:
        assert base64.b64decode(picture["src"].partition(",")[2])[:4] == b"\x89PNG"
    data = {a["id"]: json.loads(script) for a, script in page.scripts if a.get("id", "").endswith("-data")}
    assert set(data) == {a["data-plot"] for a in figures}
    assert {trace["type"] for trace in data["FK2-quick-0-figure-1-flat-data"]["data"]} >= {"heatmap"}
    assert {trace["type"] for trace in data["FK2-quick-0-figure-1-data"]["data"]} == {"surface"}
    side_by_side, stacked = data["FK1-quick-0-figure-1-data"]["layouts"]
    assert side_by_side[0] > 500
    assert stacked[0] == 0
    assert side_by_side[1]["xaxis2"]["domain"][0] > stacked[1]["xaxis2"]["domain"][0] == 0


def test_a_page_without_figures_runs_no_script(fake_study):
    result = run(fake_study)
    bare = dataclasses.replace(result, findings=result.findings[2:])
    text = report.page([bare])
    assert "<script" not in text
    assert "script-src 'none'" in text
    assert "Stopped before it was done; without a verdict: FK1, FK2." in text


def several(**changes):
    """A result with one claim of two parts, one of which decides, and the lecture's own wording."""
    parts = (
        Part("early", "It is more early.", greater(0), "nats"),
        Part("late", "Late.", less(0), "bits", decides=False),
    )
    claim = Claim("MP1", "It is more.", "It is twice as much.", greater(0), "tons", "No.", parts, greater(2), **changes)
    above, below = Interval(1.0, 0.5, 1.5, 5, "made up"), Interval(-1.0, -1.5, -0.5, 7, "made up")
    intervals = {"early": below, "late": above}
    verdict = claim.judge(above, parts=intervals, lecture=above, ran={"steps": 100})
    return StudyResult("many", "quick", 0, 1.0, "0", (Finding(verdict),), planned=("MP1",))


def test_parts_and_the_lectures_wording_have_verdicts_of_their_own():
    text = report.page([several()])
    page = Page(text)
    (whole,) = page.all("article")
    assert whole["id"] == "MP1-quick-0"
    part = text[text.index("<article") : text.index("</article>")]
    assert re.findall(r'class="badge (\w+)"', part) == ["fails", "holds", "fails", "fails", "fails"]
    assert len(re.findall(r'<svg class="bar', part)) == 5
    words = " ".join(page.words)
    assert "Part early : It is more early." in words
    assert "The lecture's own wording : It is twice as much." in words
    assert words.count("It is shown beside and decides nothing.") == 2
    assert "-1 [-1.5, -0.5]  nats" in words
    assert "The claim holds only if the statement and every part that decides do." in words
    assert "below the budget" not in words


def test_a_claim_without_parts_is_told_once(page):
    assert not [a for a in page.all("ul") if a.get("class") == "judgments"]


def test_below_its_budget_the_page_says_what_was_missing():
    words = " ".join(Page(report.page([several(budget={"steps": 1_000})])).words)
    assert "Undecided, whatever the interval: below the budget that the claim is about, 100 of 1,000 steps." in words


def test_an_unwritable_place_is_one_sentence_and_leaves_what_was_there(fake_study, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError):
        report.write([run(fake_study)], tmp_path / "file" / "report.html")
    assert (tmp_path / "file").read_text() == "mine"


def drawn(rule, low, estimate, high):
    return bar(Judgment(Part("x", "", rule, ""), Interval(estimate, low, high, 5, "")))


@pytest.mark.parametrize("rule", [greater(1), less(4), within(0, 3)])
def test_the_bar_is_to_scale(rule):
    shapes = [a for _, a in Page(drawn(rule, 1.5, 2.0, 2.5)).elements]
    whole = max((a for a in shapes if a.get("class") == "interval"), key=lambda a: float(a["x2"]) - float(a["x1"]))
    left, right = float(whole["x1"]), float(whole["x2"])
    estimate = next(float(a["cx"]) for a in shapes if a.get("class") == "estimate")
    landmark = next(float(a["x1"]) for a in shapes if a.get("class") == "landmark")
    assert estimate == pytest.approx((left + right) / 2, abs=0.11)
    assert landmark == pytest.approx(estimate + (rule.landmarks[0] - 2.0) * (right - left), abs=0.25)


def test_a_bar_without_numbers_is_not_drawn_and_an_endless_one_is_an_arrow():
    nan = float("nan")
    assert bar(Judgment(Part("x", "", greater(0), ""), Interval(nan, nan, nan, 1, ""))) == ""
    picture = drawn(greater(0), 1.0, 2.0, float("inf"))
    assert picture.count("<path") == 1
    assert "2 [1, ∞]" in picture


def in_chromium(path, tmp_path, *options):
    """What Chromium complains of, and the page as it leaves it."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0"]
    command += ["--window-size=1100,6000", "--virtual-time-budget=20000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "ReadPixels" not in line]
    return [line for line in complaints if "willReadFrequently" not in line], done.stdout


def test_the_place_of_every_plot_is_kept_from_the_beginning(page):
    """Or drawing it would push away what a link leads to."""
    figures = [attributes for attributes in page.all("figure") if "data-plot" in attributes]
    drawn = {attributes["id"]: json.loads(script) for attributes, script in page.scripts if "id" in attributes}
    assert figures
    for figure in figures:
        layouts = drawn[figure["data-plot"]]["layouts"]
        assert json.loads(figure["data-heights"]) == [[least, layout["height"]] for least, layout in layouts]


def test_in_print_verdicts_are_dark_without_a_ground():
    style = resources.files("thalweg.report").joinpath("style.css").read_text(encoding="utf-8")
    printed = style[style.index("@media print") :]
    assert re.search(r"\.badge, \.badge\.undecided \{[^}]*color: #000000", printed)


needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")


@needs_chromium
def test_chromium_draws_every_figure_without_a_complaint(fake_study, tmp_path):
    path = report.write([run(fake_study)], tmp_path / "report.html")
    for _ in range(3):  # on a busy machine it may end before it has laid the page out
        complaints, page = in_chromium(path, tmp_path, "--enable-unsafe-swiftshader")
        if page.count('class="drawn"') == 3:
            break
    assert complaints == []
    assert page.count('class="drawn"') == 3
    assert "main-svg" in page


@needs_chromium
def test_without_webgl_the_picture_of_a_surface_stays(fake_study, tmp_path):
    path = report.write([run(fake_study)], tmp_path / "report.html")
    for _ in range(3):
        complaints, page = in_chromium(path, tmp_path, "--disable-3d-apis")
        if page.count('class="drawn"') == 2:
            break
    assert complaints == []
    assert page.count('class="drawn"') == 2
    assert re.search(r'<button type="button" hidden="">Draw in 3-D', page)


@needs_chromium
def test_what_plays_has_buttons_that_a_keyboard_reaches(fake_study, tmp_path):
    result = run(fake_study)
    race = Figure.of("Race", [TrajectoryLine([0, 1, 2], [0, 1, 0], label="path")])
    finding = dataclasses.replace(result.findings[0], figures=(race,))
    path = report.write([dataclasses.replace(result, findings=(finding,))], tmp_path / "report.html")
    for _ in range(3):
        complaints, page = in_chromium(path, tmp_path)
        if 'class="drawn"' in page:
            break
    assert complaints == []
    assert re.findall(r'<button type="button">. (\w+)</button>', page) == ["Play", "Stop"]
    assert 'type="range"' in page
    assert "slider-rail" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_words_on_marks_are_dark_on_light_or_light_on_dark(page):
    (settings,) = (json.loads(script) for a, script in page.scripts if a.get("id") == "settings")
    assert {INK, VEIL} <= {day for day, _ in settings["night"]}
