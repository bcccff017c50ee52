"""Where theory has the whole curve: a layer of random ReLU units on inputs on a sphere, beside DD1."""

import math

import numpy as np
import torch

from thalweg.data import Data, Examples
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.double_descent import FeatureCurve, over_features, random_features_risk
from thalweg.randomness import generator
from thalweg.studies.lab import Lab

INPUTS, EXAMPLES, OTHERS = 50, 150, 1_200  # d, n, and examples for validation and testing
NOISE = 0.5  # sigma, of a target with |beta| = 1
RATIOS = (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2, 4, 10)  # of features to examples


def sphere(seed: int) -> Data:
    """Inputs of length sqrt(d) and y = x . beta without noise, |beta| = 1: what the theory is about."""
    draw = generator(seed, "inputs on a sphere")
    x = torch.randn(EXAMPLES + OTHERS, INPUTS, generator=draw, dtype=torch.float64)
    beta = torch.randn(INPUTS, generator=draw, dtype=torch.float64)
    x *= math.sqrt(INPUTS) / x.norm(dim=1, keepdim=True)
    return Data(Examples(x, x @ (beta / beta.norm())), name="inputs on a sphere")


def on_layer(lab: Lab) -> FeatureCurve:
    """Least squares on the units of a layer that is not trained, over their number."""
    return over_features(
        sphere(lab.seed),
        sorted({round(ratio * EXAMPLES) for ratio in RATIOS}),
        n=EXAMPLES,
        features="relu",
        noise=(NOISE,),
        seeds=lab.seeds(quick=10, full=10).scored,
        progress=lab.labelled("a random layer"),
    )


def in_theory(features: np.ndarray) -> np.ndarray:
    """The excess risk of so many units in the limit of large sizes: (sizes,)."""
    return random_features_risk(features / INPUTS, EXAMPLES / INPUTS, noise=NOISE)


def beside_theory(curve: FeatureCurve) -> Figure:
    """The curve of the layer and the line of Mei and Montanari, which has no free number."""
    fine, errors = np.geomspace(curve.sizes[0], curve.sizes[-1], 300), curve["test error"][0]
    low, high = np.quantile(errors, (0.25, 0.75), axis=1)
    return Figure.of(
        "A random layer, and its theory",
        [
            Line(curve.sizes / EXAMPLES, np.median(errors, 1), low=low, high=high, label="median of seeds"),
            Line(fine / EXAMPLES, in_theory(fine), label="theory of large sizes"),
            ReferenceLine(1, "vertical", label="rank = examples"),
        ],
        Axis("features an example", scale="log"),
        Axis("excess risk", scale="log"),
        caption=f"{INPUTS} inputs. {curve.reading.notes[0]} Theory: Mei & Montanari (2019), arXiv:1908.05355, sizes "
        f"growing in proportion; noise of standard deviation {NOISE:g}, a linear target of 1.",
    )
