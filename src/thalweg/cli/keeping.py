"""Where results are kept, and the page that shows all of them: the same for one study, for the tour and afterwards."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.cli import output
from thalweg.errors import StorageError, ThalwegError, UsageError

if TYPE_CHECKING:
    from thalweg.claims import StudyResult
    from thalweg.storage import Store

FOLDER = Path("thalweg-report")
STORE = FOLDER / "store"
_PAGE = "report.html"


def make_store(folder: Path, otherwise: str) -> "Store":
    """The store in the folder of results, made when it is missing.

    Args:
        otherwise: what to write where it cannot be made.

    Raises:
        StorageError: it cannot be made or written.
    """
    from thalweg.storage import Store
    from thalweg.storage.atomic import check_replaceable, explaining

    elsewhere = f"To keep the results elsewhere: {otherwise}."
    try:
        store = Store(folder / "store")
    except StorageError as error:
        msg = f"{error} {elsewhere}"
        raise StorageError(msg) from error
    for place in (folder, store.path, store.path / "thalweg.db", store.path / "objects"):
        if place.exists() and not os.access(place, os.W_OK):  # found now, and not after the first claim
            msg = f"{place} cannot be written; change its permissions or choose another place. {elsewhere}"
            raise StorageError(msg)
    try:
        with explaining(folder / _PAGE):
            check_replaceable(folder / _PAGE)
    except StorageError as error:
        msg = f"{error} {elsewhere}"
        raise StorageError(msg) from error
    return store


def open_store(path: Path, option: str) -> "Store":
    """A store that is there; the folder around one is taken for it.

    Args:
        option: how another one is named.

    Raises:
        UsageError: there is none.
        StorageError: it cannot be read.
    """
    path = next((place for place in (path, path / "store") if (place / "thalweg.db").is_file()), path)
    if not (path / "thalweg.db").is_file():
        what = "is a file" if path.is_file() else "has no thalweg.db in it" if path.is_dir() else "does not exist"
        msg = f"There is no store at {path}, which {what}. `thalweg tour` or `thalweg study NAME` makes {STORE}; "
        msg += f"to look at another one, write {option}."
        raise UsageError(msg)
    from thalweg.storage import Store

    return Store(path, create=False)


def page_of(store: "Store") -> Path:
    """The page's place: beside the store."""
    return store.path.resolve().parent / _PAGE


def results(store: "Store") -> "list[StudyResult]":
    """Every result of a store: in the order of the tour, full scale first; an unfinished one where no whole one is.

    A record that cannot be read is noted and left out.
    """
    from thalweg.claims import StudyResult
    from thalweg.studies import catalog

    found: list[StudyResult] = []
    records, damaged = store.read("study")
    for one in damaged:
        output.note(f"Not on the page: {one}")
    for record in records:
        try:
            found.append(StudyResult.load(store, record.key))
        except (ThalwegError, ValueError) as error:  # of an older Thalweg, perhaps: the others are shown all the same
            output.note(f"Not on the page, the study {record.key}: {error}")
    whole = {(one.study, one.scale, one.seed) for one in found if one.complete}
    shown = [one for one in found if one.complete or (one.study, one.scale, one.seed) not in whole]
    order = list(catalog.MODULES)
    places = {one.study: order.index(one.study) if one.study in order else len(order) for one in shown}
    return sorted(shown, key=lambda one: (places[one.study], one.study, one.scale, one.seed))


def write_page(store: "Store", path: Path) -> Path:
    """The page with every result of the store.

    Raises:
        UsageError: there is none.
        StorageError: it cannot be written.
    """
    from thalweg import report

    shown = results(store)
    if not shown:
        msg = f"The store {store.path} has no result of a study, so there is nothing to show; run `thalweg study NAME`."
        raise UsageError(msg)
    claims = sum(len(one.findings) for one in shown)
    output.note(
        f"Writing the report of {claims} claim{'s' * (claims != 1)}."
    )  # its figures take a third of a second each
    return report.write(shown, path).absolute()


def told(path: Path, store: "Store") -> str:
    """Where everything is, for a person."""
    option = "" if store.path == STORE else f" --store {shlex.quote(str(store.path))}"
    return f"The report is {path}\nOpen it: {path.as_uri()}\nAll results are in {store.path}: thalweg show{option}"
