"""What work tells where it runs: how far it is goes to who waits for it, and back comes that it is to stop."""

import signal
import time
from collections.abc import Callable

from thalweg.progress import Progress

_TELLS = 0.1  # seconds from one message to the next
_LOOKS = 0.2  # seconds from one look at whether the work is to stop to the next


def interrupt() -> None:
    """Interrupt this process as Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


class Telling:
    """A `tell` that sends few messages, and interrupts its process once, as Ctrl-C does, when the work is to stop.

    Args:
        send: takes a message; may drop it.
        stopped: whether the work is to stop.
        interrupt: its process, from within.
    """

    def __init__(
        self, send: Callable[[Progress], None], stopped: Callable[[], bool], interrupt: Callable[[], None] = interrupt
    ) -> None:
        self.send, self.stopped, self.interrupt = send, stopped, interrupt
        self.sent = self.looked = float("-inf")
        self.interrupted = False

    def __call__(self, progress: Progress) -> None:
        """Send the progress, unless another was sent just now; the last unit of the work is always told."""
        now = time.monotonic()
        if now - self.sent >= _TELLS or progress.done >= progress.total:
            self.sent = now
            self.send(progress)
        if not self.interrupted and now - self.looked >= _LOOKS:
            self.looked = now
            if self.stopped():
                self.interrupted = True
                self.interrupt()
