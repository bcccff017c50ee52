"""`thalweg report`: the page of a store, anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from thalweg.cli import keeping, output
from thalweg.errors import StorageError


@dataclass(frozen=True)
class Report:
    """Write the report page of a store again, with every result in it; nothing is computed."""

    store: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")] = keeping.STORE
    """The store's folder, or the folder around it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """The page; report.html beside the store when not given."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        store = keeping.open_store(self.store, "thalweg report STORE")
        try:
            path = keeping.write_page(store, keeping.page_of(store) if self.out is None else self.out)
        except StorageError as error:
            msg = f"{error} To write the page elsewhere: --out FILE."
            raise StorageError(msg) from error
        output.say(keeping.told(path, store))
        return 0
