"""Where a reading comes from: versions, machine, seed and time. Never a host or user name."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from thalweg.machine import processor, threads, version


@dataclass(frozen=True)
class Provenance:
    """What is needed to tell whether two readings were made alike.

    Args:
        seed: the seed, or the seeds of all members.
        device: "cpu", or the device with its model, such as "cuda:0".
        dtype: the number type of the computation.
        plan: how the population was executed, in words or as JSON-able entries.
        command: the command line or call that makes this reading again.
        versions: of Python and the packages that computed.
        cpu: the processor's model.
        threads: of torch when it was loaded, else of the process.
        time: when it was made, UTC, ISO 8601.

    Example:
        >>> import thalweg as tw
        >>> tw.results.Provenance.here(seed=0, dtype="torch.float64").dtype
        'float64'
    """

    seed: int | tuple[int, ...] | None = None
    device: str = "cpu"
    dtype: str = "float32"
    plan: str | Mapping[str, Any] | None = None
    command: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    cpu: str = ""
    threads: int | None = None
    time: str = ""

    @classmethod
    def here(
        cls,
        seed: int | Sequence[int] | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        plan: str | Mapping[str, Any] | None = None,
        command: str | None = None,
    ) -> "Provenance":
        """The provenance of something made on this machine, now.

        Args:
            seed: the seed, or the seeds of all members.
            device: "cpu", or such as "cuda:0".
            dtype: the number type of the computation, also as torch writes it.
            plan: how the population was executed.
            command: the command line or call that makes it again.
        """
        return cls(
            seed=_seeds(seed),
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
            plan=plan,
            command=command,
            versions={package: version(package) for package in ("python", "thalweg", "torch", "numpy")},
            cpu=processor(),
            threads=threads(),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def to_document(self) -> dict[str, Any]:
        """All entries as JSON-able values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Provenance":
        """The provenance `to_document` was called on."""
        entries: dict[str, Any] = {**document, "seed": _seeds(document["seed"])}
        return cls(**entries)


def _seeds(seed: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    return seed if seed is None or isinstance(seed, int) else tuple(int(one) for one in seed)
