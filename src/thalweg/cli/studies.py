"""`thalweg studies`: what there is to study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg import planned
from thalweg.cli import output, tables
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
                output.say(tables.paragraph(f"{study.name}: {study.title}", "", "  "))
                for claim in study.claims:
                    _say(claim.id, claim.statement, _rule(claim), claim.unit)
                    for part in claim.parts:
                        _say(f"- {part.id}", part.statement, part.rule.text, part.unit)
                output.say()
            names = ", ".join(name for name, what in planned.PLANNED.items() if "(study" in what)
            output.say(tables.paragraph(f"planned: {names}", "", "  "))
        return 0


def _say(name: str, statement: str, rule: str, unit: str) -> None:
    """One claim, or a part of one."""
    indent = " " * 8
    output.say(tables.paragraph(statement, f"  {name:5} " if len(name) <= 5 else f"  {name} ", indent))
    output.say(tables.paragraph(f"{unit}: {rule}", f"{indent}", f"{indent}  "))


def _rule(claim: "Claim") -> str:
    """When it holds, and what budget it needs."""
    return f"{claim.rule.text}; needs {claim.needs}" if claim.needs else claim.rule.text
