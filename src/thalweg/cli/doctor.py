"""`thalweg doctor`: what Thalweg runs on, and what is missing."""

import os
import platform
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from thalweg.cli import keeping, output, tables
from thalweg.cli.output import JsonTarget

if TYPE_CHECKING:
    from thalweg.storage import Store

_ROOM = 2**30  # bytes free below which a store may not hold a tour


@dataclass(frozen=True)
class Doctor:
    """Say which versions, processor, memory and disk Thalweg finds, and what is missing."""

    store: Annotated[Path, tyro.conf.arg(metavar="DIR")] = keeping.STORE
    """The store to look at."""
    collect: bool = False
    """Remove what killed processes left in the store: arrays of no record, checkpoints of finished runs."""
    json: JsonTarget = None
    """Write the findings as JSON to a file, or to stdout for -."""

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        output.check_json(self.json)
        problems: list[str] = []
        facts = {
            "versions": _versions(problems),
            "machine": _machine(),
            "torch": _torch(problems),
            "store": _store(self.store, problems, collect=self.collect),
        }
        if self.json is not None:
            output.write_json(self.json, output.as_json(facts | {"problems": problems}))
        if self.json != "-":
            for room, entries in facts.items():
                output.say(room)
                for name, value in entries.items():
                    output.say(tables.paragraph(str(value), f"  {name:20} ", " " * 23))
            said = [tables.paragraph(f"Problem: {problem}", "", "  ") for problem in problems]
            output.say("\n".join(said) or "Nothing is missing.")
        return 1 if problems else 0


def _versions(problems: list[str]) -> dict[str, str]:
    """Python's, Thalweg's, and those of all it needs."""
    from importlib import metadata

    from packaging.requirements import Requirement

    found = {"python": platform.python_version()}
    try:
        found["thalweg"] = metadata.version("thalweg")
        needed = [Requirement(line) for line in metadata.requires("thalweg") or []]
    except metadata.PackageNotFoundError:
        problems.append("Thalweg itself is not installed, only found; run `pip install -e .`.")
        return found
    for one in needed:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{one.name}{one.specifier}"
        try:
            found[one.name] = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{one.name} is not installed; run `pip install '{wanted}'`.")
            continue
        if not one.specifier.contains(found[one.name], prereleases=True):
            problems.append(f"{wanted} is needed, and {found[one.name]} installed; run `pip install '{wanted}'`.")
    return found


def _machine() -> dict[str, Any]:
    from thalweg.results import Provenance

    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": Provenance.here().cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_AVPHYS_PAGES" in names:
        page = os.sysconf("SC_PAGE_SIZE")
        facts["memory"] = _gigabytes(os.sysconf("SC_PHYS_PAGES") * page)
        facts["memory free"] = _gigabytes(os.sysconf("SC_AVPHYS_PAGES") * page)
    return facts


def _torch(problems: list[str]) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        problems.append(f"torch cannot be loaded: {error}.")
        return {}
    return {
        "threads": torch.get_num_threads(),
        "linear algebra": "MKL" if torch.backends.mkl.is_available() else "not MKL",
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _store(path: Path, problems: list[str], *, collect: bool) -> dict[str, Any]:
    """Whether the store, or the folder it would be made in, can be written and has room; and what is in it."""
    from thalweg.errors import StorageError
    from thalweg.storage import Store

    in_the_way = next((place for place in (path.absolute(), *path.absolute().parents) if place.exists()), path)
    if not in_the_way.is_dir():
        problems.append(f"{in_the_way} is a file, so {path} cannot be a folder; choose another --store or --out.")
    folder = next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    facts: dict[str, Any] = {
        "folder": str(path),
        "there": (path / "thalweg.db").is_file(),
        "permissions": stat.filemode(folder.stat().st_mode),
        "disk free": _gigabytes(free),
    }
    if not os.access(folder, os.W_OK):
        problems.append(f"{folder} cannot be written; choose another --store or --out.")
    if free < _ROOM:
        problems.append(f"Less than 1 GB is free where {path} is; free space, or choose another place.")
    if facts["there"]:
        try:
            store = Store(path, create=False)
            problems += store.check()
            facts["left over"] = _left_over(store, collect=collect)
        except StorageError as error:
            problems.append(str(error))
    return facts


def _left_over(store: "Store", *, collect: bool) -> str:
    """What killed processes left in the store, removed where that is wanted."""
    from thalweg.training.checkpoint import left_over

    checkpoints, files = left_over(store), store.abandoned()
    count, size = len(checkpoints), sum(file.stat().st_size for file in files)
    if not checkpoints and not files:
        return "nothing"
    said = [f"{count} checkpoint{'s' * (count != 1)} of finished runs"] if checkpoints else []
    if files:
        said.append(f"{len(files)} file{'s' * (len(files) != 1)} of no record ({size / 2**20:.1f} MB)")
    if not collect:
        return f"{' and '.join(said)}; `thalweg doctor --collect` removes them"
    for kind, key in checkpoints:
        store.delete(kind, key)
    store.collect()
    return f"{' and '.join(said)}, now removed"


def _gigabytes(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 2**30:.1f} GB"
