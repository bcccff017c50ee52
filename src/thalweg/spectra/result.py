"""What a measurement of an operator counts while it runs, and a mean over random vectors."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import check_type
from thalweg.progress import Progress, Watcher, ignore, watched
from thalweg.results import Cost, Provenance, Reading
from thalweg.spectra.operator import Operator

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A mean over random vectors and its standard error.

    95 % are within as many errors as Student's t says for one vector fewer: 12.7 errors for two vectors, 3.18 for four,
    2.26 for ten. The error is NaN of a single vector; both are NaN where a member is not finite.

    >>> import thalweg as tw, torch
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([1.0, 2.0]))[None])
    >>> tw.spectra.density(A, steps=2, probes=3).moment(0).mean.tolist()
    [1.0]

    Args:
        mean: (members,) or (members, points).
        standard_error: of the same shape.
    """

    mean: Array
    standard_error: Array


class Measurement:
    """The seconds and products that one measurement of an operator takes, told while it runs and kept in its reading.

    Args:
        verb: the function that measures, for errors.
        A: what is measured.
        label: what is measured, for progress and the name of the reading.
        seed: of its random vectors.
        progress: told how far it is, within `watched`.
    """

    def __init__(self, verb: str, A: Operator, label: str, seed: int, progress: Watcher | None) -> None:
        check_type(f"{verb} seed", seed, int, "a whole number such as 0")
        self.A, self.seed, self.progress = A, seed, progress
        self.told: Watcher = ignore
        self.label, self.began, self.before = f"{label} of the {A.name}", time.perf_counter(), A.products

    @property
    def products(self) -> int:
        """With one vector a member, since it began."""
        return self.A.products - self.before

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While it takes its products."""
        with watched(self.progress) as told:
            self.told = told
            yield

    def tell(self, done: int, total: int) -> None:
        """Tell how far it is."""
        self.told(Progress(self.label, done, total, time.perf_counter() - self.began))

    def reading(
        self,
        arrays: Mapping[str, Any],
        dims: Mapping[str, tuple[str, ...]],
        coordinates: Mapping[str, Any] | None = None,
        *,
        standard_errors: Mapping[str, Any] | None = None,
        samples: int | None = None,
        notes: Sequence[str] = (),
        hvps: int | None = None,
    ) -> Reading:
        """The reading of what was found.

        Args:
            arrays, dims, coordinates, standard_errors, notes: see `Reading`.
            samples: over how many the standard errors are, where they are estimated.
            hvps: products of all members, where they were made by other operators than A.
        """
        known = {} if samples is None or samples < 2 else dict.fromkeys(standard_errors or {}, samples - 1)
        return Reading(
            self.label,
            arrays,
            dims,
            coordinates or {},
            standard_errors=standard_errors or {},
            degrees_of_freedom=known,
            sample_size=self.A.sample_size,
            cost=Cost(time.perf_counter() - self.began, hvps=self.products * len(self.A) if hvps is None else hvps),
            provenance=Provenance.here(self.seed, str(self.A.device), str(self.A.dtype)),
            notes=(*notes, *self.A.notes),
        )
