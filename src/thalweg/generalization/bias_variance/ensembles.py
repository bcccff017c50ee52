"""What ensembles gain: predicted from the components of some judges, measured on others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError, check_choice
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization.bias_variance.audit import errors_of
from thalweg.generalization.bias_variance.grams import DESIGNS, Grams, components, left_over
from thalweg.results import Provenance, Reading, Result


@dataclass(frozen=True, eq=False)
class Ensembles(Result):
    """What `ensembles` found.

    Args:
        reading: by ensemble (ensemble,), such as "8 x 1": "predicted" and "measured", the mean squared error of
            ensembles; "predicted share" and "measured share", that by the error of a single fit; and "miss", the log of
            the ratio of these shares. "predicted" is of the first half of the judges, "measured" of the other.
    """

    def figure(self) -> Figure:
        """Predicted and measured error of the ensembles, as shares of that of a single fit."""
        names = [str(name) for name in self.reading.coordinate("ensemble")]
        bars = [Bars(names, self[f"{which} share"], label=which) for which in ("predicted", "measured")]
        axes = Axis("judges x occasions"), Axis("error / that of a single fit")
        return Figure.of("What averaging removes", bars, *axes, caption=" ".join(self.reading.notes))


def ensembles(
    predictions: ArrayLike,
    targets: ArrayLike,
    sizes: Sequence[tuple[int, int]] = ((1, 2), (2, 1), (2, 2)),
    *,
    seeds: str = "nested",
) -> Ensembles:
    """Predict what ensembles of new members gain, by the noise of half the judges, and measure it on the other half.

        predicted(j, r) = bias^2 + (level + stable)/j + occasion/(j r),    of the first half
        miss = log [(predicted(j, r) / predicted(1, 1)) / (measured(j, r) / measured(1, 1))]

    Gains are compared, not errors: two halves of a few training sets differ in how good they are. The miss is 0 on
    average by construction, so its size is what counts; averaging it over both directions, from the first half to the
    other and back, would all but cancel it.

    >>> import numpy as np
    >>> from thalweg.generalization import bias_variance
    >>> draw = np.random.default_rng(0)
    >>> fits = 1 + draw.normal(size=(8, 1, 500)) + draw.normal(size=(8, 2, 500))
    >>> found = bias_variance.ensembles(fits, np.zeros(500), [(1, 2), (4, 1)])
    >>> found["predicted share"].round(2).tolist(), found["measured share"].round(2).tolist()  # 5/6 and 1/2
    ([0.83, 0.5], [0.84, 0.51])

    Args:
        predictions: (judges, occasions, cases, ...), of at least four judges; see `audit_predictions`.
        targets: (cases, ...).
        sizes: (judges, occasions) of ensembles, at most half the judges and all the occasions.
        seeds: see `audit_predictions`.

    Raises:
        UsageError: fewer than two judges in a half, fewer than two occasions, or ensembles that are too large.
        DataError: predictions that are not finite.
    """
    check_choice("ensembles seeds", seeds, DESIGNS)
    found = np.asarray(predictions, dtype=np.float64)
    half = len(found) // 2 if found.ndim > 2 else 0
    if half < 2:
        msg = "ensembles takes at least four judges, two to predict from and two to measure; got predictions of shape "
        raise UsageError(msg + f"{found.shape}.")
    for size in sizes:
        if not (1 <= size[0] <= half and 1 <= size[1] <= found.shape[1]):
            msg = f"Ensembles are of 1 to {half} judges (half of them) and 1 to {found.shape[1]} occasions; got {size}."
            raise UsageError(msg)
    noise = components(Grams.of(errors_of(found[:half], targets)), seeds)
    others = Grams.of(errors_of(found[half:], targets))
    predicted = np.array([left_over(noise, j, r) for j, r in sizes])
    measured = np.array([others.ensemble(j, r) for j, r in sizes])
    shares = predicted / noise["mse"], measured / others.ensemble(1, 1)
    arrays = {"predicted": predicted, "measured": measured}
    arrays |= {"predicted share": shares[0], "measured share": shares[1], "miss": np.log(shares[0] / shares[1])}
    reading = Reading(
        "error of ensembles",
        arrays,
        dict.fromkeys(arrays, ("ensemble",)),
        {"ensemble": [f"{j} x {r}" for j, r in sizes]},
        sample_size=len(found),
        provenance=Provenance.here(dtype="float64"),
        notes=(f"Predicted from {half} judges, measured on {len(found) - half} others.",),
    )
    return Ensembles(reading)
