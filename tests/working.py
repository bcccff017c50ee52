"""Work that workers are given in their tests, and scripts that are interrupted and killed."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

from thalweg.progress import Progress


def quiet(number, progress):
    pass


def results(workers, work, items, heard=quiet):
    return {done.number: done.found for done in workers.map(work, items, heard)}


def interruptible(folder):
    """Work that waits until it is interrupted and then keeps what it has; item 0 is the one that ends."""

    def work(item, tell):
        if item == 0:
            while not (folder / "begun 1").exists():
                time.sleep(0.01)
            return item
        (folder / f"begun {item}").touch()
        try:
            while True:
                tell(Progress("waiting", 0, 1, 0.0))
                time.sleep(0.01)
        except KeyboardInterrupt:
            (folder / f"kept {item}").touch()
            raise

    return work


def script(tmp_path, text, **how):
    """Start a script on standard input."""
    preamble = f"import os, sys, time\nfrom pathlib import Path\nfolder = Path({str(tmp_path)!r})\n"
    preamble += "from thalweg.progress import Progress\nfrom thalweg.workers import Processes, Ray\n"
    preamble += "def quiet(number, progress): pass\n"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )
    process.stdin.write(preamble + textwrap.dedent(text))
    process.stdin.close()
    process.stdin = None
    return process


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


WAITS = """
def work(item, tell):
    (folder / f"pid {os.getpid()}").touch()
    if item == 0:
        return "done"
    (folder / f"begun {item}").touch()
    try:
        while True:
            tell(Progress("waiting", 0, 1, 0.0))
            time.sleep(0.01)
    except KeyboardInterrupt:
        (folder / f"kept {item}").touch()
        raise
"""


def workers_of(tmp_path):
    return [int(path.name.removeprefix("pid ")) for path in tmp_path.glob("pid *")]
