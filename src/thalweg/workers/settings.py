"""What a process sets for all that it computes and says: switches of torch, filters of warnings."""

import contextlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from thalweg.workers.protocol import Tell, Work


class _Switch(NamedTuple):
    """One of torch's: what it is by itself, how it is read, how it is set."""

    default: Any
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]


_SWITCHES: Mapping[str, _Switch] = {
    "float32 matmul precision": _Switch(
        "highest",
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, to: torch.set_float32_matmul_precision(to),
    ),
    "deterministic algorithms": _Switch(
        (False, False),
        lambda torch: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda torch, to: torch.use_deterministic_algorithms(to[0], warn_only=to[1]),
    ),
    "oneDNN": _Switch(
        True,
        lambda torch: torch._C._get_mkldnn_enabled(),
        lambda torch, to: torch._C._set_mkldnn_enabled(to),
    ),
    "fused attention": _Switch(
        True,
        lambda torch: torch.backends.cuda.flash_sdp_enabled(),
        lambda torch, to: torch.backends.cuda.enable_flash_sdp(to),
    ),
    "numbers too small to be normal are zero": _Switch(
        False,
        lambda torch: sys.float_info.min / 2 == 0,
        lambda torch, to: torch.set_flush_denormal(to),
    ),
    "default dtype": _Switch(
        "float32",
        lambda torch: str(torch.get_default_dtype()).removeprefix("torch."),
        lambda torch, to: torch.set_default_dtype(getattr(torch, to)),
    ),
}


def _filters() -> list[tuple[Any, ...]]:
    """Python's own list."""
    return warnings.filters  # type: ignore[return-value]


@dataclass(frozen=True)
class Settings:
    """Settings of a process.

    >>> from thalweg.workers.settings import Settings
    >>> Settings.here().switches.get("oneDNN", True)
    True

    Args:
        switches: torch's, by name; none where it was not loaded.
        filters: of warnings, the first to apply first; a category by the names of its module and its own.
    """

    switches: Mapping[str, Any]
    filters: tuple[tuple[str, re.Pattern[str] | None, str, str, re.Pattern[str] | None, int], ...]

    @classmethod
    def here(cls) -> "Settings":
        """Those of this process."""
        torch = sys.modules.get("torch")
        switches = {} if torch is None else {name: one.read(torch) for name, one in _SWITCHES.items()}
        filters = tuple(
            (action, message, kind.__module__, kind.__qualname__, module, line)
            for action, message, kind, module, line in _filters()
        )
        return cls(switches, filters)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Have them here, the filters within the block alone; torch is loaded where it needs to be told something."""
        others = any(value != _SWITCHES[name].default for name, value in self.switches.items())
        torch = sys.modules.get("torch")
        if torch is None and others:
            import torch
        if torch is not None:
            for name, value in self.switches.items():
                if _SWITCHES[name].read(torch) != value:
                    _SWITCHES[name].write(torch, value)
        with warnings.catch_warnings():
            warnings.resetwarnings()
            known = [(one, getattr(sys.modules.get(one[2]), one[3], None)) for one in self.filters]
            _filters()[:] = [
                (action, message, kind, module, line)
                for (action, message, _, _, module, line), kind in known
                if isinstance(kind, type) and issubclass(kind, Warning)  # one that is not loaded is not given either
            ]
            yield


@dataclass(frozen=True)
class Settled:
    """Work in the settings of the process that sent it.

    Args:
        work: as given.
        settings: of that process.
    """

    work: Work
    settings: Settings

    def __call__(self, item: Any, tell: Tell) -> Any:
        """Carry out the work."""
        with self.settings.taken():
            return self.work(item, tell)
