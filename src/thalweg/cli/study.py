"""`thalweg study`: one study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from thalweg.cli import output
from thalweg.cli.output import JsonTarget, StoreFolder
from thalweg.cli.progress import Display, display
from thalweg.errors import unknown_name

if TYPE_CHECKING:
    from thalweg.claims import Finding, StudyResult


@dataclass(frozen=True)
class Study:
    """Test the claims of one study."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Which study; `thalweg studies` lists them."""
    scale: Literal["quick", "full"] = "quick"
    """Quick may leave claims undecided; full has more seeds."""
    seed: int = 0
    """From which every random draw derives."""
    json: JsonTarget = None
    """Write the result as JSON to a file, or to stdout for -."""
    store: StoreFolder = None
    """A folder to keep findings in; after an interruption the same command goes on from there."""
    device: str = "cpu"
    """Where tensors live, such as cuda."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        from thalweg.studies import catalog, iterate

        if self.name not in catalog.MODULES:
            raise unknown_name("study", self.name, catalog.MODULES)
        output.check_json(self.json)
        from thalweg.storage import Store

        store = None if self.store is None else Store(self.store)
        result: StudyResult | None = None
        try:
            with display() as screen:
                for result in iterate(
                    self.name, scale=self.scale, seed=self.seed, progress=screen.watch, store=store, device=self.device
                ):
                    announce(screen, result.findings[-1])
        except KeyboardInterrupt:
            self._interrupted(result)
            raise
        assert result is not None
        if self.json != "-":
            output.verdicts(result.findings)
        if self.json is not None:
            output.write_json(self.json, result.to_json())
        return 0

    def _interrupted(self, result: "StudyResult | None") -> None:
        """Show what was found before; a JSON document of half a study is not written."""
        findings = result.findings if result else ()
        if findings and self.json != "-":
            output.verdicts(findings)
        kept = "the same command goes on from there" if self.store else "--store DIR would have kept them"
        output.note(f"Claims decided before the interruption: {len(findings)}" + (f"; {kept}." if findings else "."))


def announce(screen: Display, finding: "Finding") -> None:
    """One line for a finding, as soon as it is there."""
    verdict = finding.verdict
    short = f" ({verdict.shortfall})" if verdict.shortfall else ""
    screen.note(f"{verdict.claim.id} {verdict.outcome}{short}: {verdict.claim.statement} {verdict.interval}")
