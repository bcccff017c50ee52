"""The runs behind DD1, DD2, DD3 and DD7: least squares on random Fourier features of handwritten digits.

Label noise makes exactly that share of the labels wrong, not each label with that chance: less varies between seeds.
"""

from collections.abc import Iterator

from thalweg import data
from thalweg.claims import Finding
from thalweg.generalization.double_descent import FeatureCurve, over_features
from thalweg.studies.double_descent import label_noise, layer, norm, peak, second_descent
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

RATIOS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.93, 0.96, 0.98)
RATIOS += (1, 1.02, 1.04, 1.07, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20)  # of features to examples
SCALE = 0.65  # of the frequencies; the median distance of two digits is about 3
AXES = (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 5, 20)


def runs(lab: Lab) -> FeatureCurve:
    """The curves that are scored, by (noise, size, seed)."""
    n = lab.pick(quick=100, full=400)
    return over_features(
        data.digits(),
        sorted({max(1, round(ratio * n)) for ratio in RATIOS}),
        n=n,
        scale=SCALE,
        noise=peak.NOISE,
        seeds=lab.seeds(quick=10, full=10).scored,
        progress=lab.labelled("random features"),
    )


def on_all_axes(lab: Lab) -> FeatureCurve:
    """A smaller set of runs for the figure of four axes, as effective model complexity takes many fits."""
    return over_features(
        data.digits(),
        sorted({round(ratio * 100) for ratio in AXES}),
        n=100,
        scale=SCALE,
        noise=(0.2,),
        seeds=lab.seeds(quick=3, full=3).scored,
        complexity=0.01,
        members=peak.MEMBERS,
        progress=lab.labelled("effective model complexity"),
    )


@decides(peak.CLAIM, second_descent.CLAIM, norm.CLAIM, label_noise.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Fit, and look where the peak is, how high, what is beyond it, and what the norm does."""
    curve = runs(lab)
    yield peak.finding(lab, curve, on_all_axes(lab), layer.on_layer(lab))
    yield second_descent.finding(lab, curve)
    yield norm.finding(lab, curve)
    yield label_noise.finding(lab, curve)
