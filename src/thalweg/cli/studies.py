"""`thalweg studies`: what there is to study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
                {
                    "study": study.name,
                    "title": study.title,
                    "claims": [
                        {
                            "id": claim.id,
                            "statement": claim.statement,
                            "lecture": claim.lecture,
                            "corrected": claim.corrected,
                            "rule": claim.rule.text,
                            "unit": claim.unit,
                            "parts": [
                                {"id": part.id, "statement": part.statement, "rule": part.rule.text, "unit": part.unit}
                                for part in claim.parts
                            ],
                            "budget": dict(claim.budget),
                        }
                        for claim in study.claims
                    ],
                }
                for study in studies
            ]
            output.write_json(self.json, output.as_json(documents))
        if self.json != "-":
            for study in studies:
                output.say(f"{study.name}: {study.title}")
                rows = [
                    row
                    for claim in study.claims
                    for row in (
                        (claim.id, claim.statement, _rule(claim), claim.unit),
                        *((f"- {part.id}", part.statement, part.rule.text, part.unit) for part in claim.parts),
                    )
                ]
                output.table(("claim", "statement", "rule", "unit"), rows)
        return 0


def _rule(claim: "Claim") -> str:
    """When it holds, and what budget it needs."""
    return f"{claim.rule.text}; needs {claim.needs}" if claim.needs else claim.rule.text
