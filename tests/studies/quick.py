"""What every study must give at quick scale."""

import json
from typing import Any

from thalweg import studies
from thalweg.results import Reading


def claims_of(study: str | studies.Study, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Run a study at quick scale, check what it found, and return its claims as JSON, by id."""
    result = studies.run(study, seed=seed)
    document = json.loads(result.to_json())
    for finding in result.findings:
        found = finding.verdict.interval
        if found.known:
            assert found.low <= found.estimate <= found.high
        else:
            assert finding.verdict.outcome == "undecided"
        assert finding.sentences
        assert finding.readings
        for reading in finding.readings:
            assert Reading.from_json(reading.to_json()).to_json() == reading.to_json()
        for figure in finding.figures:
            assert figure.title
            assert figure.panels[0].y.label  # in a row it may stand for the others too
            figure.to_matplotlib()
    assert {claim["verdict"] for claim in document["claims"]} <= {"holds", "fails", "undecided"}
    return {claim["id"]: claim for claim in document["claims"]}
