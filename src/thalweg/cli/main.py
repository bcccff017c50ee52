"""`thalweg`: finds the verb, runs it, and turns how it ended into an exit code.

Nothing here or at the top of a verb's file imports torch, so that help and mistakes are answered at once.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import tyro

from thalweg.cli import names, output, words
from thalweg.cli.doctor import Doctor
from thalweg.cli.errata import Errata
from thalweg.cli.explained import Captured, wrapped
from thalweg.cli.options import WrongValueError
from thalweg.cli.report import Report
from thalweg.cli.show import Show
from thalweg.cli.studies import Studies
from thalweg.cli.study import Study
from thalweg.cli.tour import Tour
from thalweg.cli.train import Train
from thalweg.errors import ThalwegError, UsageError

VERBS: dict[str, type[Callable[[], int]]] = {
    "tour": Tour,
    "study": Study,
    "studies": Studies,
    "train": Train,
    "report": Report,
    "show": Show,
    "doctor": Doctor,
    "errata": Errata,
}

_OFF = {"", "0", "false", "no", "off"}

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

_DESCRIPTION = (
    "A laboratory for the science of deep-learning optimization. Begin with `thalweg tour`. "
    "Any verb takes --debug (or THALWEG_DEBUG=1) to show where an error arose. "
    "Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the program's name; None is those of the process.
    """
    output.open_closed()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("THALWEG_DEBUG", "").lower() not in _OFF
    given = [argument for argument in given if argument != "--debug"]
    try:
        return _run(given)
    except BrokenPipeError:
        output.reader_left()
        return DONE
    except KeyboardInterrupt:
        output.note("Interrupted.")
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, ThalwegError):
            output.note(f"thalweg: {error}")
        else:
            hint = "" if debug else " Run it again with --debug to see where."
            output.note(f"thalweg: unexpected {type(error).__name__}: {error}.{hint}")
        return WRONG_USE if isinstance(error, UsageError) else FAILED


def _run(given: list[str]) -> int:
    if given[:1] == ["--version"]:
        output.say(f"thalweg {version('thalweg')}")
        return DONE
    if not given:
        msg = f"Name what to do: {', '.join(VERBS)}. Begin with `thalweg tour`; `thalweg --help` explains all."
        raise UsageError(msg)
    helping = not {"-h", "--help"}.isdisjoint(given)
    verb = next((argument for argument in given if not argument.startswith("-")), None)
    if verb is not None and verb not in VERBS and (helping or verb == given[0]):
        raise names.unknown_verb(verb, VERBS)
    if not helping:
        words.check(VERBS, given)
    command, code, told = _parsed(given)
    for stream, text in told:
        stream(text)
    return code if command is None else command()


def _parsed(given: list[str]) -> tuple[Callable[[], int] | None, int, list[tuple[Callable[[str], None], str]]]:
    """The command; or the exit code of help and of mistakes, and what tyro says then, by where it goes.

    What tyro prints is caught and goes the way of all our output, which knows streams that lack letters or are full.
    """
    out, err = Captured(sys.stdout), Captured(sys.stderr)
    command, code = None, DONE
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command = tyro.cli(
                _verbs(),
                prog="thalweg",
                description=_DESCRIPTION,
                args=given,
                config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except WrongValueError as error:
        raise UsageError(str(error)) from error
    except SystemExit as stopped:  # help, or a wrong option that tyro has explained
        code = stopped.code if isinstance(stopped.code, int) else DONE
    helping = not {"-h", "--help"}.isdisjoint(given)
    streams = ((output.say, out.getvalue()), (output.note, err.getvalue()))
    told = [(stream, text.rstrip("\n")) for stream, text in streams if text.strip()]
    return command, code, [(stream, wrapped(text) if helping else text) for stream, text in told]


def _verbs() -> Any:
    """The union of all verbs, as tyro wants it."""
    union: Any = None
    for name, verb in VERBS.items():
        member = Annotated[verb, tyro.conf.subcommand(name)]
        union = member if union is None else union | member
    return union
