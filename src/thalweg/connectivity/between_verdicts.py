"""Whether paths join pairs of networks: barriers of every path, and what they say at one threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.connectivity.barrier import Barrier
from thalweg.connectivity.between_curves import Curves
from thalweg.connectivity.height_intervals import height_intervals
from thalweg.evaluation import line_heights

Array = NDArray[np.float64]
LINE, ALIGNED, CURVE = "line", "line after aligning", "curve"
PATHS = (LINE, ALIGNED, CURVE)
JOINED, APART, UNDECIDED, SAME, NONE = "joined", "not joined", "undecided", "same network", "not tried"


@dataclass(frozen=True, eq=False)
class Threshold:
    """The barrier below which a path joins two networks.

    Args:
        name: of what the barrier is: "error", or "loss" where there is no accuracy.
        worth: the threshold: of the error itself, and of the loss as a share of the mean loss of the two ends.
        scale: by which a barrier is divided before it is compared: (pairs,).
        unit: of the loss.
        same: whether a pair is one network twice: (pairs,).
    """

    name: str
    worth: float
    scale: Array
    unit: str
    same: NDArray[np.bool_]

    @classmethod
    def of(cls, lines: Barrier, worth: float, same: NDArray[np.bool_]) -> "Threshold":
        """What the straight lines allow to be judged, by the first set of examples."""
        error = "error" in lines.reading.arrays
        scale = np.ones(len(same)) if error else np.abs(lines["loss"][0][:, [0, -1]]).mean(1)
        return cls("error" if error else "loss", worth, scale, lines.reading.units.get("loss", ""), same)

    def verdicts(self, values: Array, intervals: Array) -> list[str]:
        """One word a pair, of barriers (pairs,) and their intervals (pairs, ends), NaN where they are not known.

        All of the interval must lie on one side, and without one nothing is decided; what is not finite on the way
        joins nothing.

        >>> import numpy as np
        >>> from thalweg.connectivity.between_verdicts import Threshold
        >>> error = Threshold("error", 0.02, np.ones(3), "nats", np.zeros(3, dtype=bool))
        >>> error.verdicts(np.array([0.0, 0.02, 0.5]), np.array([[0, 0.01], [0.01, 0.03], [0.4, 0.6]]))
        ['joined', 'undecided', 'not joined']
        """
        limit, words = self.worth * self.scale, []
        for place, (value, (low, high)) in enumerate(zip(values, intervals, strict=True)):
            if self.same[place]:
                words.append(SAME)
            elif not np.isfinite(value) or low >= limit[place]:
                words.append(APART)
            else:
                words.append(JOINED if high < limit[place] else UNDECIDED)
        return words


def arrays_of(
    threshold: Threshold, lines: Barrier, aligned: Barrier | None, curves: Curves | None
) -> tuple[dict[str, NDArray], dict[str, tuple[str, ...]]]:
    """Barriers by path, set of examples and pair, with their intervals and the verdicts: arrays and their dims.

    Args:
        threshold: by which verdicts are given.
        lines, aligned: of all pairs.
        curves: of some of them.
    """
    names = [name for name in ("loss", "error") if name in lines.reading.arrays]
    sets, pairs = lines["loss"].shape[:2]
    arrays: dict[str, NDArray] = {}
    dims: dict[str, tuple[str, ...]] = {}
    for name in names:
        for kind in ("barrier", "barrier, over mean"):
            whole = f"{name} {kind}"
            table, spans = np.full((3, sets, pairs), np.nan), np.full((3, sets, pairs, 2), np.nan)
            for path, found in enumerate((lines, aligned)):
                if found is not None:
                    table[path], spans[path] = found[whole], found[f"{whole}, 95 %"]
            if curves is not None:
                table[2][:, curves.pairs], spans[2][:, curves.pairs] = _of_curves(curves, name, kind)
            arrays |= {whole: table, f"{whole}, 95 %": spans}
            dims |= {whole: ("path", "on", "pair"), f"{whole}, 95 %": ("path", "on", "pair", "end")}
    loss = arrays["loss barrier"]
    share = np.divide(loss, loss[:1], out=np.full_like(loss, np.nan), where=loss[:1] > 0)
    judged = f"{threshold.name} barrier"
    tried = (True, aligned is not None, curves is not None)
    words = [threshold.verdicts(arrays[judged][path, 0], arrays[f"{judged}, 95 %"][path, 0]) for path in range(3)]
    for path in range(3):
        has = set(curves.pairs) if path == 2 and curves is not None else set(range(pairs))
        words[path] = [word if tried[path] and pair in has else NONE for pair, word in enumerate(words[path])]
    arrays |= {"share of the line's loss barrier": share, "verdict": np.array(words)}
    dims |= {"share of the line's loss barrier": ("path", "on", "pair"), "verdict": ("path", "pair")}
    return arrays, dims


def _of_curves(curves: Curves, name: str, kind: str) -> tuple[Array, Array]:
    """A barrier on curves: (on, pair), and its intervals over examples: (on, pair, end)."""
    values = np.stack([one.values[name] for one in curves.values])
    draws = np.stack([one.resampled[name] for one in curves.values])
    found, (above_chord, over_mean) = line_heights(values, name), height_intervals(values, draws, name)
    return (found.barrier, above_chord) if kind == "barrier" else (found.over_mean, over_mean)
