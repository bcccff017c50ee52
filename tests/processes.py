"""Processes that begin with everything imported: each is a fork of one that waits, for importing torch takes seconds.

Arguments, folder, streams, signals and end are its own: it ends as every Python does, flushing what is left to write.
What Python makes of its environment as it starts, such as the letters of its streams, is the waiting one's.
"""

import json
import os
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

WAITING = textwrap.dedent(
    """
    import gc, json, os, socket, sys

    exec(sys.argv[2])
    gc.freeze()  # what is imported is no child's garbage
    link = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, streams, _, _ = socket.recv_fds(link, 2**16, 2)
        if not message:
            sys.exit()
        child = os.fork()
        if child == 0:
            break
        for stream in streams:
            os.close(stream)
        link.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    link.close()
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
        os.close(stream)
    code, folder, sys.argv[1:] = json.loads(message)
    os.chdir(folder)
    exec(code)
    """
)


class Ended(NamedTuple):
    """How a process ended, and what it wrote into pipes."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()


def _read(end: int) -> bytes:
    with open(end, "rb") as pipe:
        return pipe.read()


class Prepared:
    """Forks of one process that has run a first piece of code."""

    def __init__(self, code: str, environment: dict[str, str] | None = None) -> None:
        self.link, other = socket.socketpair()
        command = [sys.executable, "-c", WAITING, str(other.fileno()), code]
        self.waiting = subprocess.Popen(
            command,
            pass_fds=[other.fileno()],
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        other.close()
        self.link.settimeout(600)

    def run(self, code: str, *arguments: str, stdout: int | None = None, stderr: int | None = None) -> Ended:
        """Run code after the first, in the folder of now; a stream that is not given is a pipe that is read."""
        with ThreadPoolExecutor(2) as readers:
            streams, read, own = [], [], []
            for given in (stdout, stderr):
                if given is None:
                    reading, writing = os.pipe()
                    read.append(readers.submit(_read, reading))
                    own.append(writing)
                streams.append(writing if given is None else given)
            socket.send_fds(self.link, [json.dumps([code, str(Path.cwd()), arguments]).encode()], streams)
            for writing in own:
                os.close(writing)
            returncode = int(self.link.recv(16) or self.waiting.wait())
            texts = [found.result() for found in read]
        out = b"" if stdout is not None else texts.pop(0)
        return Ended(returncode, out, b"" if stderr is not None else texts.pop(0))

    def close(self) -> None:
        """End the process that waits."""
        self.link.close()
        self.waiting.wait(120)
