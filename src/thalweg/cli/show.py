"""`thalweg show`: what is in a store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from thalweg.cli import keeping, output, tables
from thalweg.errors import UsageError

KINDS = ("study", "run", "checkpoint", "reading")


@dataclass(frozen=True)
class Show:
    """Show what is in a store, or one of its records."""

    record: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="KIND/KEY", help_behavior_hint="")] = None
    """Which record, such as study/optimizers/quick/0; all of them are listed when not given."""
    store: Annotated[Path, tyro.conf.arg(metavar="DIR")] = keeping.STORE
    """The store's folder, or the folder around it."""
    csv: bool = False
    """Write a reading's table as comma-separated values."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        if self.csv and (self.record is None or not self.record.startswith("reading/")):
            msg = f"--csv writes a reading's table; name one, reading/KEY, instead of {self.record or 'nothing'}."
            raise UsageError(msg)
        store = keeping.open_store(self.store, "thalweg show --store DIR")
        if self.record is None:
            found = [store.read(kind) for kind in KINDS]
            for record in (one for records, _ in found for one in records):  # never wrapped: a name is to be copied
                output.say(f"{output.moment(record.created)}  {record.kind}/{record.key}")
            for one in (one for _, damaged in found for one in damaged):
                output.note(f"Not shown: {one}")
            if not any(records or damaged for records, damaged in found):
                output.say("The store is empty.")
            return 0
        kind, slash, key = self.record.partition("/")
        if kind not in KINDS or not slash:
            msg = f"A record is written KIND/KEY with a kind of {', '.join(KINDS)}; got {self.record!r}."
            raise UsageError(msg)
        if kind == "reading":
            from thalweg.results import Reading

            table = Reading.load(store, key).table()
            output.say(table.csv().rstrip("\n") if self.csv else str(table))
        elif kind == "study":
            from thalweg.claims import StudyResult

            result = StudyResult.load(store, key)
            tables.verdicts(result.findings)
            for finding in result.findings:
                for sentence in finding.sentences:
                    output.say(tables.paragraph(f"{finding.verdict.claim.id}: {sentence}", "", "  "))
        else:
            record = store.get(kind, key)
            output.say(output.as_json({"document": record.document, "objects": dict(record.objects)}))
        return 0
