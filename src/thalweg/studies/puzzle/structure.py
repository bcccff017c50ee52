"""Shown beside GEN1: real data lie in fewer dimensions than Gaussians of the same covariance.

Networks that fit any labels generalize on these data, so that it is data, too, that such an answer must speak of. It is
shown and not scored: what it has to do with generalization is not measured here.
"""

from dataclasses import replace

import numpy as np

from thalweg import data
from thalweg.claims import Finding
from thalweg.data import Examples
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization import simplicity
from thalweg.generalization.simplicity import IntrinsicDimension
from thalweg.studies.lab import Lab

POINTS = 1_797  # as many of each as there are digits, as estimates rise with the number of points


def measured(lab: Lab) -> dict[str, IntrinsicDimension]:
    """Of digits and of as many signals of MNIST-1D, by the two nearest neighbors of every point."""
    sets = {"digits": data.digits(), "MNIST-1D": data.mnist1d()}
    found = {}
    for name, one in sets.items():
        examples = [part for part in (one.train, one.test) if isinstance(part, Examples)]
        inputs = np.concatenate([np.asarray(part.inputs) for part in examples])[:POINTS]
        found[name] = simplicity.intrinsic_dimension(inputs, clones=lab.pick(quick=2, full=5), seed=lab.seed)
    return found


def beside(finding: Finding, found: dict[str, IntrinsicDimension]) -> Finding:
    """The finding with dimensions beside it: a figure, readings and a sentence."""
    each = [
        f"{name} lie in {float(one['dimension']):.1f} +- {float(one.reading.standard_errors['dimension']):.1f} "
        f"dimensions near a point, and Gaussians of the same covariance in {one['clone dimension'].mean():.1f}"
        for name, one in found.items()
    ]
    return replace(
        finding,
        figures=(*finding.figures, picture(found)),
        readings=(
            *finding.readings,
            *(replace(one.reading, name=f"intrinsic dimension, {name}") for name, one in found.items()),
        ),
        sentences=(*finding.sentences, f"Shown, not scored: {'; '.join(each)}, by {POINTS:,} points of each."),
    )


def picture(found: dict[str, IntrinsicDimension]) -> Figure:
    """Every set of data beside Gaussians of its covariance."""
    values = {
        label: value
        for name, one in found.items()
        for label, value in (
            (name, float(one["dimension"])),
            (f"Gaussian like {name}", float(one["clone dimension"].mean())),
        )
    }
    return Figure.of(
        "Real data have structure",
        [Bars(list(values), np.array(list(values.values())))],
        Axis(),
        Axis("intrinsic dimension"),
        caption=f"By the two nearest neighbors of {POINTS:,} points; Gaussians have the covariance of the data, and no "
        "more structure than that.",
    )
