"""The study at quick scale, end to end."""

import json

from thalweg import studies
from thalweg.results import Reading, matplotlib


def test_quick_scale_decides_or_says_that_it_cannot():
    result = studies.run("optimizers")
    document = json.loads(result.to_json())
    outcomes = {claim["id"]: claim["verdict"] for claim in document["claims"]}
    assert set(outcomes) == {f"OPT{i}" for i in range(1, 8)}
    assert outcomes["OPT5"] == outcomes["OPT6"] == "holds"  # these two are theorems
    assert all(claim["low"] <= claim["estimate"] <= claim["high"] for claim in document["claims"])
    for finding in result.findings:
        assert finding.sentences
        for reading in finding.readings:
            assert Reading.from_json(reading.to_json()).to_json() == reading.to_json()
        assert finding.readings
        for figure in finding.figures:
            assert figure.caption or figure.title
    matplotlib.render(result.findings[0].figures[0])
