"""`thalweg tour`: every study, and the report."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thalweg.cli import output
from thalweg.cli.progress import display
from thalweg.cli.study import announce
from thalweg.errors import ThalwegError, UsageError

if TYPE_CHECKING:
    from thalweg.claims import StudyResult
    from thalweg.storage import Store


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
        from thalweg.storage import Store

        store = Store(self.out / "store")
        results: list[StudyResult] = []
        failed: dict[str, Exception] = {}
        try:
            self._studies(store, results, failed)
        except KeyboardInterrupt:
            self._report(results)
            raise
        self._report(results)
        if failed:
            kind = UsageError if all(isinstance(error, UsageError) for error in failed.values()) else ThalwegError
            sentences = "\n".join(f"The study {name} failed: {error}" for name, error in failed.items())
            raise kind(sentences) from ExceptionGroup("studies that failed", list(failed.values()))
        return 0

    def _studies(self, store: "Store", results: "list[StudyResult]", failed: dict[str, Exception]) -> None:
        """Run every study; one that fails does not keep the others from running."""
        from thalweg.studies import catalog, iterate

        with display() as screen:
            for name in catalog.MODULES:
                screen.note(f"Study {name}")
                result: StudyResult | None = None
                try:
                    for result in iterate(
                        name, scale=self.scale, seed=self.seed, progress=screen.watch, store=store, device=self.device
                    ):
                        announce(screen, result.findings[-1])
                except Exception as error:
                    failed[name] = error
                    screen.note(f"The study {name} failed; the tour goes on.")
                finally:  # also after Ctrl-C
                    if result is not None:
                        results.append(result)

    def _report(self, results: "list[StudyResult]") -> None:
        from thalweg import report

        if not results:
            output.note("Nothing was decided, so no report was written.")
            return
        output.verdicts(finding for result in results for finding in result.findings)
        path = report.write(results, self.out / "report.html").absolute()
        output.say(f"\nThe report is {path}\nOpen it: {path.as_uri()}")
