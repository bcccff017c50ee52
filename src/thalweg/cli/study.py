"""`thalweg study`: one study."""

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from thalweg.cli import board, crew, keeping, output, tables
from thalweg.cli.options import NO_DEFAULT, Device, Scale, Seed
from thalweg.cli.output import JsonTarget
from thalweg.cli.progress import Display, display

if TYPE_CHECKING:
    from thalweg.claims import Finding, StudyResult
    from thalweg.storage import Store
    from thalweg.studies.takeover import Takeover
    from thalweg.workers import Workers


@dataclass(frozen=True)
class Study:
    """Test the claims of one study and renew the report page; after Ctrl-C the same command goes on."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Which study; `thalweg studies` lists them."""
    scale: Scale = "quick"
    seed: Seed = 0
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = keeping.FOLDER
    """The folder for report.html and the store; results that are there stay."""
    no_save: Annotated[bool, NO_DEFAULT] = False
    """Keep nothing, neither store nor page."""
    json: JsonTarget = None
    """Write the result as JSON to a file, or to stdout for -."""
    device: Device = "cpu"
    workers: crew.OfStudy = None

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        from thalweg.population.device import as_device
        from thalweg.studies import catalog
        from thalweg.studies.takeover import takeover

        catalog.find(self.name)
        as_device(self.device)
        output.check_json(self.json)
        store = keeping.make_store(self.out, "--out DIR; to keep nothing: --no-save") if not self.no_save else None
        workers = crew.of_study(self.workers, self.device)
        result: StudyResult | None = None
        try:
            with display() as screen:
                over = takeover(self.name, scale=self.scale, seed=self.seed, store=store, device=self.device)
                tell(screen, over)
                grown = (
                    self._in_turn(screen, store, over)
                    if workers is None
                    else self._side_by_side(screen, store, over, workers)
                )
                for result in grown:  # noqa: B007 (the last one, also after Ctrl-C)
                    pass
        except KeyboardInterrupt:
            self._interrupted(result, store)
            raise
        assert result is not None
        if self.json != "-":
            tables.verdicts(result.findings)
        if self.json is not None:
            output.write_json(self.json, result.to_json())
        if over.taken:
            output.note(f"{_claims(over.taken)} from the store, {_claims(over.computed)} computed now.")
        self._page(store)
        return 0

    def _in_turn(self, screen: Display, store: "Store | None", over: "Takeover") -> "Iterator[StudyResult]":
        """The result as it grows in this process; each finding is announced."""
        from thalweg.studies import iterate

        seen = set[str]()
        for result in iterate(
            self.name, scale=self.scale, seed=self.seed, progress=screen.watch, store=store, device=self.device
        ):
            for finding in result.findings:
                if finding.verdict.claim.id not in seen:
                    announce(screen, finding, over)
                    seen.add(finding.verdict.claim.id)
            yield result

    def _side_by_side(
        self, screen: Display, store: "Store | None", over: "Takeover", workers: "Workers"
    ) -> "Iterator[StudyResult]":
        """The result as it grows by experiments side by side; each finding is announced."""
        from thalweg.studies.together import Together

        together = Together([self.name], workers, scale=self.scale, seed=self.seed, store=store, device=self.device)
        for finding in together.taken(self.name):
            announce(screen, finding, over)
        yield together.result(self.name)
        with contextlib.closing(board.steps(together, screen)) as steps:
            for step in steps:
                for finding in step.findings:
                    announce(screen, finding, over)
                yield step.result
                if step.error is not None:
                    screen.note(f"The experiment of {', '.join(together.pieces[step.number].claims)} failed.")
                    raise step.error

    def _page(self, store: "Store | None") -> None:
        """Renew the page and say where it is; on stdout, unless that is for JSON."""
        if store is not None:
            text = keeping.told(keeping.write_page(store, self.out / "report.html"), store)
            (output.note if self.json == "-" else output.say)(text)

    def _interrupted(self, result: "StudyResult | None", store: "Store | None") -> None:
        """Show what was found before, and how to go on; a JSON document of half a study is not written."""
        findings = result.findings if result else ()
        if not findings:
            output.note("Stopped before the first claim was decided; nothing was kept.")
            return
        if self.json != "-":
            tables.verdicts(findings)
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: without the page then, the store has all
            self._page(store)
        command = f"thalweg study {self.name} --scale {self.scale} --seed {self.seed}"
        command += "" if self.out == keeping.FOLDER else f" --out {shlex.quote(str(self.out))}"
        command += "" if self.device == "cpu" else f" --device {self.device}"
        command += "" if self.workers is None else f" --workers {self.workers}"
        kept = f"kept in {store.path}. Go on with: {command}" if store else "not kept, as --no-save says"
        output.note(f"Stopped after {len(findings)} of {_claims(result.planned if result else ())}, {kept}.")


def tell(screen: Display, over: "Takeover") -> None:
    """What comes from the store, before the work."""
    if over.taken:
        screen.note(f"From the store: {', '.join(over.taken)}, of a run begun {output.moment(over.begun)}.")
        screen.note(f"To be computed: {', '.join(over.computed) or 'nothing'}.")
    elif over.obstacle:
        screen.note(f"The store has an unfinished run of this study, but {over.obstacle}; everything is computed anew.")
    if over.replaced:
        screen.note("The store has a finished result of this study; when this run is finished, it takes its place.")


def announce(screen: Display, finding: "Finding", over: "Takeover") -> None:
    """One line for a finding, as soon as it is there."""
    verdict = finding.verdict
    reason = f" ({verdict.reason})" if verdict.reason else ""
    source = ", from the store" if verdict.claim.id in over.taken else ""
    screen.note(f"{verdict.claim.id} {verdict.outcome}{reason}{source}: {verdict.claim.statement} {verdict.interval}")


def _claims(ids: tuple[str, ...]) -> str:
    return f"{len(ids)} claim{'s' * (len(ids) != 1)}"
