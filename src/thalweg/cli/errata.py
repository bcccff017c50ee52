"""`thalweg errata`: corrections of the lecture."""

import dataclasses
from dataclasses import dataclass

from thalweg.cli import output, tables
from thalweg.cli.output import JsonTarget


@dataclass(frozen=True)
class Errata:
    """List where the lecture is imprecise or wrong, and what is right."""

    json: JsonTarget = None
    """Write the list as JSON to a file, or to stdout for -."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        output.check_json(self.json)
        from thalweg.studies import catalog
        from thalweg.studies.errata import CORRECTIONS, LECTURE

        there = {claim.id: study.name for study in catalog.studies() for claim in study.claims}
        if self.json is not None:
            output.write_json(self.json, output.as_json([dataclasses.asdict(one) for one in CORRECTIONS]))
        if self.json != "-":
            output.say(tables.paragraph(f"The lecture: {LECTURE}", "", "  "))
            output.say()
            for one in CORRECTIONS:
                output.say(tables.paragraph(f"{one.section} ({one.id})", "", "  "))
                tested = ", ".join(f"{claim} (study {there[claim]})" for claim in one.claims if claim in there)
                planned = ", ".join(claim for claim in one.claims if claim not in there)
                facts = {
                    "lecture": one.lecture,
                    "right": one.right,
                    "why": one.why,
                    "source": one.source,
                    "tested": tested,
                    "planned": planned,
                }
                for name, fact in facts.items():
                    if fact:
                        output.say(tables.paragraph(fact, f"  {name:8}", " " * 10))
                output.say()
        return 0
