"""Mean kernels of many small networks of one architecture, beside the analytic ones and the lecture's."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import ntk
from thalweg.evaluation import outputs
from thalweg.statistics import Interval, distance_of_mean
from thalweg.studies.lab import Lab
from thalweg.studies.ntk import lecture_formulas
from thalweg.studies.ntk.families import BIAS_STD, Case
from thalweg.studies.ntk.setting import drawn, untrained

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The kernels of one architecture: of networks, in the limit, and by the lecture.

    Args:
        case: which one.
        widths: of the networks: one, or twice as wide ones before narrower ones, whose means then are extrapolated.
        kernels: by "K" and "Theta", one array a width: (networks, inputs, inputs).
        limit: the analytic ones by the same names.
        doubt: how far those may be off.
        lecture: the lecture's Theta by its reading.
    """

    case: Case
    widths: tuple[int, ...]
    kernels: Mapping[str, list[Array]]
    limit: Mapping[str, Array]
    doubt: Mapping[str, float]
    lecture: Mapping[str, Array]

    @property
    def networks(self) -> int:
        """How many there are of a width."""
        return len(self.kernels["K"][0])

    def away(self, kernel: str, other: Array | None = None) -> Interval:
        """How far the mean over networks is from the analytic kernel, or from another one, relative to the analytic."""
        weights = (2.0, -1.0) if len(self.widths) == 2 else (1.0,)
        right = self.limit[kernel]
        reference, doubt = (right, self.doubt[kernel]) if other is None else (other, 0.0)
        size = float(np.linalg.norm(right))
        return distance_of_mean(self.kernels[kernel], reference, weights=weights, reference_error=doubt, size=size)


def measured(lab: Lab, case: Case, networks: int, widths: tuple[int, ...]) -> Measured:
    """Draw networks of one architecture, as many of every width."""
    inputs, kernels = case.inputs(lab.seed), {"K": [], "Theta": []}
    for width in widths:
        whole = untrained(lab, lambda width=width: case.build(width), inputs)
        body = untrained(lab, lambda width=width: case.build(width)[:-1], inputs)
        start, seen = body.initialize([lab.seed]), ([], [])
        for some in drawn(lab, whole, networks, f"ntk6 {case.name} {width}"):
            features = outputs(body, start.with_theta(some.theta[:, : start.theta.shape[1]])).double()
            seen[0].append((features @ features.mT / features.shape[-1] + BIAS_STD**2).cpu())
            seen[1].append(ntk.empirical_kernels(whole, some, inputs, outputs="trace").double().cpu())
        for name, each in zip(kernels, seen, strict=True):
            kernels[name].append(torch.cat(each).numpy())
    limit = case.limit(inputs)
    right = {"K": limit.nngp.numpy(), "Theta": limit.ntk.numpy()}
    doubt = dict(zip(kernels, case.doubt(inputs, limit), strict=True))
    wrong = {name: one.numpy() for name, one in lecture_formulas.of(case.name, inputs).items()}
    return Measured(case, widths, kernels, right, doubt, wrong)
