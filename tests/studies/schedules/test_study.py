"""The study of schedules at quick scale, end to end."""

import json

from thalweg import studies
from thalweg.results import Reading, matplotlib


def test_quick_scale_decides_or_says_that_it_cannot():
    result = studies.run("schedules")
    document = json.loads(result.to_json())
    assert [claim["id"] for claim in document["claims"]] == ["SCH1", "SCH2", "SCH3"]
    assert {claim["verdict"] for claim in document["claims"]} <= {"holds", "fails", "undecided"}
    for finding in result.findings:
        assert finding.verdict.interval.low <= finding.verdict.interval.estimate <= finding.verdict.interval.high
        assert finding.sentences
        assert finding.readings
        for reading in finding.readings:
            assert Reading.from_json(reading.to_json()).to_json() == reading.to_json()
        for figure in finding.figures:
            assert figure.title
            assert figure.caption
            for panel in figure.parts:
                assert panel.x.label
                assert panel.y.label
            matplotlib.render(figure)
