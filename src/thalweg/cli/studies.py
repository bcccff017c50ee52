"""`thalweg studies`: what there is to study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.cli import output
from thalweg.cli.output import JsonTarget

if TYPE_CHECKING:
    from thalweg.claims import Claim


@dataclass(frozen=True)
class Studies:
    """List every study and its claims."""

    json: JsonTarget = None
    """Write the list as JSON to a file, or to stdout for -."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        output.check_json(self.json)
        from thalweg.studies import catalog

        studies = catalog.studies()
        if self.json is not None:
            documents = [
                {"study": study.name, "title": study.title, "claims": [_document(claim) for claim in study.claims]}
                for study in studies
            ]
            output.write_json(self.json, output.as_json(documents))
        if self.json != "-":
            for study in studies:
                output.say(f"{study.name}: {study.title}")
                rows = [row for claim in study.claims for row in _rows(claim)]
                output.table(("claim", "statement", "rule", "unit"), rows)
        return 0


def _document(claim: "Claim") -> dict[str, Any]:
    """A claim as JSON-able data: what it says, and when it holds."""
    return {
        "id": claim.id,
        "statement": claim.statement,
        "lecture": claim.lecture,
        "corrected": claim.corrected,
        "rule": claim.rule.text,
        "unit": claim.unit,
        "parts": [vars(part) | {"rule": part.rule.text} for part in claim.parts],
        "lecture_rule": None if claim.lecture_rule is None else claim.lecture_rule.text,
        "budget": dict(claim.budget),
    }


def _rows(claim: "Claim") -> list[tuple[str, ...]]:
    """A claim and its parts as rows of the table."""
    budget = "".join(f" Needs {least:,g} {name}." for name, least in claim.budget.items())
    own = (claim.id, f"{claim.statement}{budget}", claim.rule.text, claim.unit)
    return [own, *((f"{claim.id} {part.id}", part.statement, part.rule.text, part.unit) for part in claim.parts)]
