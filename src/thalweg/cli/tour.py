"""`thalweg tour`: every study, and the report."""

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from thalweg.cli import keeping, output, tables
from thalweg.cli.options import Device, Scale, Seed
from thalweg.cli.progress import Display, display
from thalweg.cli.study import announce, tell
from thalweg.errors import ThalwegError, UsageError

if TYPE_CHECKING:
    from thalweg.claims import StudyResult
    from thalweg.storage import Store

_KIND = "tour"  # of the record that says which studies a tour has finished; it goes when the tour is done


@dataclass(frozen=True)
class Tour:
    """Test every claim of every study and write a report page; after Ctrl-C the same command goes on."""

    scale: Scale = "quick"
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = keeping.FOLDER
    """The folder for report.html and the store with all results."""
    seed: Seed = 0
    device: Device = "cpu"

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        output.note(f"Thalweg's tour at {self.scale} scale; results go to {self.out}. Ctrl-C keeps what is done.")
        from thalweg.population.device import as_device

        as_device(self.device)
        store = keeping.make_store(self.out, "--out DIR")
        results: list[StudyResult] = []
        failed: dict[str, Exception] = {}
        try:
            self._studies(store, results, failed)
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: without the page then, the store has all
                self._report(store, results)
            output.note(f"What was finished is kept. Go on with: {self._command()}.")
            raise
        self._report(store, results)
        if failed:
            kind = UsageError if all(isinstance(error, UsageError) for error in failed.values()) else ThalwegError
            sentences = "\n".join(f"The study {name} failed: {error}" for name, error in failed.items())
            raise kind(sentences) from ExceptionGroup("studies that failed", list(failed.values()))
        store.delete(_KIND, self._key)
        return 0

    @property
    def _key(self) -> str:
        return f"{self.scale}/{self.seed}"

    def _studies(self, store: "Store", results: "list[StudyResult]", failed: dict[str, Exception]) -> None:
        """Run every study; one that fails does not keep the others from running."""
        from thalweg.studies import catalog
        from thalweg.studies.takeover import finished

        done = self._done(store)
        with display() as screen:
            for name in catalog.MODULES:
                screen.note(f"Study {name}")
                before = (
                    finished(name, scale=self.scale, seed=self.seed, store=store, device=self.device)
                    if name in done
                    else None
                )
                if before is not None:
                    screen.note(f"From the store, as a tour that did not end left it: {', '.join(before.planned)}.")
                    results.append(before)
                    continue
                try:
                    self._study(name, screen, store, results)
                    done = [*done, name]
                    store.put(_KIND, self._key, {"finished": done})
                except Exception as error:
                    failed[name] = error
                    screen.note(f"The study {name} failed; the tour goes on.")

    def _study(self, name: str, screen: Display, store: "Store", results: "list[StudyResult]") -> None:
        """Run one study; what it found is among the results also when it stops."""
        from thalweg.studies import iterate
        from thalweg.studies.takeover import takeover

        result: StudyResult | None = None
        try:
            over = takeover(name, scale=self.scale, seed=self.seed, store=store, device=self.device)
            tell(screen, over)
            for result in iterate(
                name, scale=self.scale, seed=self.seed, progress=screen.watch, store=store, device=self.device
            ):
                announce(screen, result.findings[-1], over)
        finally:  # also after Ctrl-C
            if result is not None:
                results.append(result)

    def _done(self, store: "Store") -> list[str]:
        """Which studies a tour of this scale and seed finished before it was interrupted."""
        return list(store.get(_KIND, self._key).document["finished"]) if (_KIND, self._key) in store else []

    def _report(self, store: "Store", results: "list[StudyResult]") -> None:
        if not results:
            output.note("Nothing was decided, so no report was written.")
            return
        tables.verdicts(finding for result in results for finding in result.findings)
        output.say(f"\n{keeping.told(keeping.write_page(store, self.out / 'report.html'), store)}")

    def _command(self) -> str:
        """The command that goes on."""
        command = f"thalweg tour --scale {self.scale} --seed {self.seed}"
        command += "" if self.out == keeping.FOLDER else f" --out {shlex.quote(str(self.out))}"
        return command + ("" if self.device == "cpu" else f" --device {self.device}")
