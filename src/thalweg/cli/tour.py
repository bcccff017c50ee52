"""`thalweg tour`: every study, and the report."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thalweg.cli import output
from thalweg.cli.progress import display
from thalweg.cli.study import announce
from thalweg.errors import ThalwegError

if TYPE_CHECKING:
    from thalweg.results import Store
    from thalweg.studies import Finding, StudyResult


@dataclass(frozen=True)
class Tour:
    """Test every claim of every study and write a report page."""

    scale: Literal["quick", "full"] = "quick"
    """Quick takes minutes and may leave claims undecided; full has more seeds."""
    out: Path = Path("thalweg-report")
    """The folder for report.html and the store with all results."""
    seed: int = 0
    """From which every random draw derives."""
    device: str = "cpu"
    """Where tensors live, such as cuda."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        output.note(f"Thalweg's tour at {self.scale} scale; results go to {self.out}. Ctrl-C keeps what is done.")
        from thalweg.results import Store

        store = Store(self.out / "store")
        results: list[StudyResult] = []
        failed: list[tuple[str, Exception]] = []
        try:
            self._studies(store, results, failed)
        except KeyboardInterrupt:
            self._report(results)
            raise
        self._report(results)
        if failed:
            name, error = failed[0]
            msg = f"The study {name} failed: {error}"
            raise ThalwegError(msg) from error
        return 0

    def _studies(self, store: "Store", results: "list[StudyResult]", failed: list[tuple[str, Exception]]) -> None:
        """Run every study; one that fails does not keep the others from running."""
        from thalweg.studies import catalog, run

        with display() as screen:
            for name in catalog.MODULES:
                screen.note(f"Study {name}")
                findings: list[Finding] = []

                def found(finding: "Finding", findings: "list[Finding]" = findings) -> None:
                    findings.append(finding)
                    announce(screen, finding)

                try:
                    result = run(
                        name,
                        scale=self.scale,
                        seed=self.seed,
                        watch=screen.watch,
                        found=found,
                        store=store,
                        device=self.device,
                    )
                except (Exception, KeyboardInterrupt) as error:
                    if findings:
                        results.append(self._unfinished(store, name))
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    failed.append((name, error))
                    screen.note(f"The study {name} failed; the tour goes on.")
                else:
                    results.append(result)

    def _unfinished(self, store: "Store", name: str) -> "StudyResult":
        """What a study found before it stopped."""
        from thalweg.studies import StudyResult

        return StudyResult.load(store, f"{name}/{self.scale}/{self.seed}/unfinished")

    def _report(self, results: "list[StudyResult]") -> None:
        from thalweg import report

        if not results:
            output.note("Nothing was decided, so no report was written.")
            return
        output.verdicts(finding for result in results for finding in result.findings)
        path = report.write(results, self.out / "report.html").absolute()
        output.say(f"\nThe report is {path}\nOpen it: {path.as_uri()}")
