"""The page: verdicts first, then every claim with its figures; one file that asks the network for nothing."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from thalweg.claims import SYMBOLS, Finding, StudyResult, Verdict, chance, close_calls
from thalweg.figures import to_plotly
from thalweg.figures.style import GRID, INK, MUTED, SERIES, VEIL
from thalweg.markup import element, embedded, number, text
from thalweg.report.figures import Drawing, drawing
from thalweg.report.numbers import numbers
from thalweg.report.verdicts import anchor, badge, bar, called, estimate, judgments, table
from thalweg.results import Provenance, Reading
from thalweg.storage.atomic import explaining, replacing

TITLE = "Thalweg: what the experiments say"
QUICK = (
    "Quick scale has fewer seeds, and fewer steps and smaller sizes: a claim about more than was run stays undecided, "
    "as do some for want of seeds. With all that they are about, in about 10 minutes: "
)


def write(results: Sequence[StudyResult], path: Path) -> Path:
    """Write the page of `page` to a file, whole or not at all.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from thalweg import report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report.write([], Path(folder) / "report.html").name
    'report.html'

    Args:
        results: of studies, in the order in which they are shown.
        path: of the file; folders on the way are made.

    Returns:
        The path.

    Raises:
        StorageError: the file cannot be written; what was there is as before.
    """
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:  # which says first whether that can be, as figures take a while
            temporary.write_text(page(results), encoding="utf-8")
    return path


def page(results: Sequence[StudyResult]) -> str:
    """The results as one HTML page: verdicts first, then every claim with its figures.

    It asks the network for nothing; Plotly's script is inside where there is a figure.

    >>> from thalweg import report
    >>> report.page([])[:15]
    '<!doctype html>'
    """
    shown: list[Drawing] = []
    sections = [_study(result, shown) for result in results]
    plots = _plotly_script() if shown else ""
    script = to_plotly.FIT + _asset("page.js")
    scripts = [plots, script] if shown else []
    body = "\n".join(
        [
            element("a", "Skip to the verdicts", href="#verdicts", class_="skip"),
            _header(results),
            _contents(results),
            element("main", _verdicts(results), *sections),
            element("script", embedded(_settings()), type="application/json", id="settings") if shown else "",
            *(one.data for one in shown),
            *(f"<script>{code}</script>" for code in scripts),
        ]
    )
    head = "\n".join(
        [
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            element("title", text(TITLE)),
            f"<style>{_asset('style.css')}</style>",
        ]
    )
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _policy(scripts: Sequence[str]) -> str:
    """Nothing is fetched, and no script runs but these: a string that slipped through would not be one of them."""
    digests = (hashlib.sha256(code.encode()).digest() for code in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    # Plotly adds its own style elements as it draws, and makes pictures to download as blobs.
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


def _header(results: Sequence[StudyResult]) -> str:
    tested = [element("p", text(_tested(name, found)), class_="lead") for name, found in _batches(results).items()]
    lead = (
        "Each verdict is computed from a 95 % interval and a rule fixed beforehand: a claim fails when the whole "
        "interval is on the other side, or short of the smallest effect worth having; it holds when the whole interval "
        "is on the stated side; and it is undecided in between."
    )
    tested = tested or [element("p", "0 claims tested.", class_="lead")]
    return element("header", element("h1", text(TITLE)), *tested, element("p", lead))


def _batches(results: Sequence[StudyResult]) -> dict[str, list[Verdict]]:
    """The verdicts by scale and seed, full scale first, in words; by "" where all are of one.

    A claim that was tested twice is one claim in each of them, and not two.
    """
    kinds = sorted({(result.scale, result.seed) for result in results}, key=lambda one: (one[0] != "full", *one))
    return {
        f"{scale.capitalize()} scale, seed {seed}: " if len(kinds) > 1 else "": [
            finding.verdict
            for result in results
            if (result.scale, result.seed) == (scale, seed)
            for finding in result.findings
        ]
        for scale, seed in kinds
    }


def _tested(name: str, verdicts: Sequence[Verdict]) -> str:
    outcomes = [verdict.outcome for verdict in verdicts]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in SYMBOLS if outcome in outcomes)
    return f"{name}{len(outcomes)} claim{'s' * (len(outcomes) != 1)} tested" + (f": {counts}." if counts else ".")


def _contents(results: Sequence[StudyResult]) -> str:
    entries = []
    for result in results:
        claims = [
            element(
                "li",
                element(
                    "a",
                    text(f"{finding.verdict.claim.id} "),
                    badge(finding.verdict.outcome),
                    href=f"#{anchor(result, finding.verdict.claim)}",
                ),
            )
            for finding in result.findings
        ]
        link = element("a", text(result.title or result.study), href=f"#{_section(result)}")
        entries.append(element("li", link, element("ul", *claims)))
    verdicts = element("li", element("a", "All verdicts", href="#verdicts"))
    return element("nav", element("h2", "Contents"), element("ul", verdicts, *entries), aria_label="Contents")


def _verdicts(results: Sequence[StudyResult]) -> str:
    rows = element("div", table(results), class_="scroll", tabindex="0", role="region", aria_label="Table of verdicts")
    said = []
    for name, verdicts in _batches(results).items():
        by_chance, near = chance(verdicts), dict.fromkeys(verdict.claim.id for verdict in close_calls(verdicts))
        if by_chance.tested:
            said.append(f"{name}{by_chance}")
        if near:
            said.append(f"{name}Close calls, which other seeds or another machine may flip: {', '.join(near)}.")
    paragraphs = [element("p", text(sentence)) for sentence in said]
    return element("section", element("h2", "Verdicts"), rows, *paragraphs, id="verdicts")


def _study(result: StudyResult, shown: list[Drawing]) -> str:
    claims = [_claim(finding, anchor(result, finding.verdict.claim), shown) for finding in result.findings]
    parts = [element("h2", text(result.title or result.study))]
    command = result.provenance.command or f"thalweg study {result.study} --scale {result.scale} --seed {result.seed}"
    parts.append(
        element("p", "Made by ", element("code", text(command)), f" in {result.seconds:.0f} s.", class_="command")
    )
    if not result.complete:
        done = {finding.verdict.claim.id for finding in result.findings}
        missing = ", ".join(claim for claim in result.planned if claim not in done)
        parts.append(element("p", text(f"Stopped before it was done; without a verdict: {missing}."), class_="notice"))
    if result.scale == "quick" and any(finding.verdict.outcome == "undecided" for finding in result.findings):
        fuller = element("code", text(command.replace("--scale quick", "--scale full")))
        parts.append(element("p", QUICK, fuller, class_="notice"))
    parts += [*claims, _provenance(result.provenance)]
    return element("section", *parts, id=_section(result), class_="study")


def _section(result: StudyResult) -> str:
    return f"study-{result.study}-{result.scale}-{result.seed}"


def _claim(finding: Finding, place: str, shown: list[Drawing]) -> str:
    verdict, claim = finding.verdict, finding.verdict.claim
    facts = [("The lecture", claim.lecture)]
    facts += [("Corrected", claim.corrected)] if claim.corrected else []
    facts += [("Needs", claim.needs)] if claim.needs else []
    facts += [("Rule", claim.rule.text), ("Method", f"{verdict.interval.method}; n = {verdict.interval.n}")]
    listed = element("dl", *(element("dt", text(name)) + element("dd", text(value)) for name, value in facts))
    result = element("div", element("span", called(verdict)), bar(verdict.own), estimate(verdict.own), class_="result")
    short = f"Undecided, whatever the interval: below the budget that the claim is about, {verdict.shortfall}."
    sentences = [element("p", text(sentence)) for sentence in finding.sentences]
    drawn = [drawing(figure, f"{place}-figure-{i}") for i, figure in enumerate(finding.figures, start=1)]
    shown += drawn
    return element(
        "article",
        element("h3", element("a", text(claim.id), href=f"#{place}"), " ", text(claim.statement)),
        result,
        element("p", text(short), class_="notice") if verdict.shortfall else "",
        judgments(verdict),
        *sentences,
        listed,
        *(one.html for one in drawn),
        numbers(verdict.numbers),
        *(_reading(reading) for reading in finding.readings),
        id=place,
    )


def _reading(reading: Reading) -> str:
    cost = reading.cost
    counts = {"forward": cost.forwards, "backward": cost.backwards, "Hessian-vector": cost.hvps}
    passes = ", ".join(f"{count:,} {name} passes" for name, count in counts.items() if count)
    sample = f"sample of {reading.sample_size:,}" if reading.sample_size is not None else ""
    seconds = f"{number(cost.seconds)} s" if cost.seconds else ""
    made = "; ".join(part for part in (sample, seconds, passes, *reading.notes) if part)
    title = element("summary", "Reading: ", text(reading.name))
    return element(
        "details",
        title,
        element("p", text(made or "No cost or sample recorded.")),
        element("pre", text(reading.table()), tabindex="0", role="region", aria_label=f"Table of {reading.name}"),
    )


def _provenance(provenance: Provenance) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    facts = [
        ("Versions", versions),
        ("Machine", f"{provenance.cpu}; {_threads(provenance.threads)}; {provenance.device}"),
        ("Seed", provenance.seed),
        ("Begun", provenance.time),
    ]
    listed = element("dl", *(element("dt", name) + element("dd", text(value)) for name, value in facts))
    return element("details", element("summary", "Where this was made"), listed)


def _threads(count: int | None) -> str:
    """As many as experiments had, if all had as many."""
    return "threads that differ from experiment to experiment" if count is None else f"{count} threads"


def _settings() -> dict[str, object]:
    """For the script: Plotly's configuration, and what the darkest and the lightest colors become on a dark page."""
    night = [[INK, "#e6e6e6"], [MUTED, "#a6adb5"], [GRID, "#3b424a"], [SERIES[0].color, "#4aa3df"]]
    night.append([VEIL, "rgba(20,24,29,0.7)"])
    return {"config": to_plotly.CONFIG, "night": night}


def _asset(name: str) -> str:
    return resources.files("thalweg.report").joinpath(name).read_text(encoding="utf-8")


def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
