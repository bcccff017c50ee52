"""`thalweg tour`: every study, and the report."""

import contextlib
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from thalweg.cli import board, crew, keeping, output, tables
from thalweg.cli.options import Device, Scale, Seed
from thalweg.cli.progress import Display, display
from thalweg.cli.study import announce, tell
from thalweg.errors import ThalwegError, UsageError, WorkerError

if TYPE_CHECKING:
    from thalweg.claims import StudyResult
    from thalweg.storage import Store
    from thalweg.studies.together import Step, Together
    from thalweg.workers import Workers

_KIND = "tour"  # of the record that says which studies a tour has finished; it goes when the tour is done


@dataclass(frozen=True)
class Tour:
    """Test every claim of every study and write a report page; after Ctrl-C the same command goes on."""

    scale: Scale = "quick"
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = keeping.FOLDER
    """The folder for report.html and the store with all results."""
    seed: Seed = 0
    device: Device = "cpu"
    workers: crew.OfTour = None

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        output.note(f"Thalweg's tour at {self.scale} scale; results go to {self.out}. Ctrl-C keeps what is done.")
        from thalweg.population.device import as_device

        as_device(self.device)
        store = keeping.make_store(self.out, "--out DIR")
        workers = crew.of_tour(self.workers, self.device)
        results: list[StudyResult] = []
        failed: dict[str, Exception] = {}
        try:
            with display() as screen:
                names = self._from_store(screen, store, results)
                if workers is None:
                    self._in_turn(names, screen, store, results, failed)
                else:
                    self._side_by_side(names, workers, screen, store, results, failed)
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: without the page then, the store has all
                self._report(store, results)
            output.note(f"What was finished is kept. Go on with: {self._command()}.")
            raise
        except WorkerError:
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

    def _from_store(self, screen: Display, store: "Store", results: "list[StudyResult]") -> list[str]:
        """Take over the studies that a tour which did not end finished; the names of all others."""
        from thalweg.studies import catalog
        from thalweg.studies.takeover import finished

        done, left = self._done(store), list[str]()
        for name in catalog.MODULES:
            before = (
                finished(name, scale=self.scale, seed=self.seed, store=store, device=self.device)
                if name in done
                else None
            )
            if before is None:
                left.append(name)
                continue
            screen.note(f"Study {name}")
            screen.note(f"From the store, as a tour that did not end left it: {', '.join(before.planned)}.")
            results.append(before)
        return left

    def _in_turn(
        self,
        names: list[str],
        screen: Display,
        store: "Store",
        results: "list[StudyResult]",
        failed: dict[str, Exception],
    ) -> None:
        """Run one study after the other; one that fails does not keep the others from running."""
        for name in names:
            screen.note(f"Study {name}")
            try:
                self._study(name, screen, store, results)
                self._finish(name, store)
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

    def _side_by_side(
        self,
        names: list[str],
        workers: "Workers",
        screen: Display,
        store: "Store",
        results: "list[StudyResult]",
        failed: dict[str, Exception],
    ) -> None:
        """Run the experiments of all studies from one queue; one that fails does not keep the others from running."""
        from thalweg.studies import catalog
        from thalweg.studies.together import Together

        found: list[str] = []
        for name in names:
            try:
                catalog.find(name)
                found.append(name)
            except Exception as error:
                failed[name] = error
                screen.note(f"The study {name} failed; the tour goes on.")
        together = Together(found, workers, scale=self.scale, seed=self.seed, store=store, device=self.device)
        try:
            for name in found:
                self._begin(name, together, screen, store)
            with contextlib.closing(board.steps(together, screen)) as steps:
                for step in steps:
                    self._take(step, together, screen, store, failed)
        finally:  # also after Ctrl-C
            results += [together.result(name) for name in found if together.result(name).findings]

    def _begin(self, name: str, together: "Together", screen: Display, store: "Store") -> None:
        """Say what of a study comes from the store."""
        over = together.over(name)
        if over.taken or over.obstacle:
            screen.note(f"Study {name}")
            tell(screen, over)
        for finding in together.taken(name):
            announce(screen, finding, over)
        if together.result(name).complete:
            self._finish(name, store)

    def _take(
        self, step: "Step", together: "Together", screen: Display, store: "Store", failed: dict[str, Exception]
    ) -> None:
        """Say what an experiment found, and that its study is done, or that it failed."""
        name = step.result.study
        for finding in step.findings:
            announce(screen, finding, together.over(name))
        if step.error is not None:
            claims = ", ".join(together.pieces[step.number].claims)
            failed[f"{name} ({claims})"] = step.error
            screen.note(f"The experiment of {claims} failed; the tour goes on.")
        elif step.result.complete and not any(key.startswith(f"{name} (") for key in failed):
            self._finish(name, store)
            outcomes = Counter(finding.verdict.outcome for finding in step.result.findings)
            told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
            screen.note(f"Study {name} is done: {told}.")

    def _finish(self, name: str, store: "Store") -> None:
        """Note that this tour need not run the study again."""
        store.put(_KIND, self._key, {"finished": [*self._done(store), name]})

    def _done(self, store: "Store") -> list[str]:
        """Which studies a tour of this scale and seed finished before it was interrupted."""
        return list(store.get(_KIND, self._key).document["finished"]) if (_KIND, self._key) in store else []

    def _report(self, store: "Store", results: "list[StudyResult]") -> None:
        if not results:
            output.note("Nothing was decided, so no report was written.")
            return
        from thalweg.studies import catalog

        order = list(catalog.MODULES)
        results = sorted(results, key=lambda result: order.index(result.study))
        tables.verdicts(finding for result in results for finding in result.findings)
        output.say(f"\n{keeping.told(keeping.write_page(store, self.out / 'report.html'), store)}")

    def _command(self) -> str:
        """The command that goes on."""
        command = f"thalweg tour --scale {self.scale} --seed {self.seed}"
        command += "" if self.out == keeping.FOLDER else f" --out {shlex.quote(str(self.out))}"
        command += "" if self.device == "cpu" else f" --device {self.device}"
        return command + ("" if self.workers is None else f" --workers {self.workers}")
