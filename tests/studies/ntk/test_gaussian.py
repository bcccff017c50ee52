"""NTK1: non-Gaussianity against Wishart's law, features against modules, and settings on which it must not hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from thalweg import ntk
from thalweg.claims import Finding
from thalweg.evaluation import outputs
from thalweg.statistics import distance_of_mean, exponents
from thalweg.studies import Lab
from thalweg.studies.ntk import gaussian
from thalweg.studies.ntk.covariances import Covariances, analytic, covariances, limits
from thalweg.studies.ntk.setting import BIAS_STD, digits_of_one_norm, drawn, network, untrained

WIDTHS = (32, 64, 128)


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return digits_of_one_norm()[0][: gaussian.DIGITS]


@pytest.fixture(scope="module")
def planted(inputs: torch.Tensor) -> dict[str, Covariances]:
    """Covariances of independent features N(0, K), which are Wishart's."""
    random = np.random.default_rng(0)

    def of(name: str, other: str) -> Covariances:
        right, wrong = limits(inputs, name, other)
        root = np.linalg.cholesky(right)
        features = [root @ random.normal(size=(800, len(right), width)) for width in WIDTHS]
        return Covariances(WIDTHS, [one @ one.swapaxes(1, 2) / one.shape[2] for one in features], right, wrong)

    return {"relu": of("relu", "tanh"), "tanh": of("tanh", "relu")}


def finding(plain: dict[str, Covariances]) -> Finding:
    lab = Lab("quick", 500, progress=None).on((gaussian.CLAIM,))
    return gaussian.found(lab, plain, plain["relu"], plain["relu"])


def outcomes(found: Finding) -> dict[str, str]:
    return {one.part.id: one.outcome for one in found.verdict.parts}


def test_non_gaussianity_is_that_of_wishart(planted: dict[str, Covariances]) -> None:
    sizes = planted["tanh"].non_gaussianity()
    np.testing.assert_allclose(sizes.mean(1), (gaussian.DIGITS + 1) / np.array(WIDTHS), rtol=0.05)
    np.testing.assert_allclose(planted["tanh"].kurtosis(), 6 / np.array(WIDTHS), rtol=0.1)
    assert abs(exponents(WIDTHS, sizes).mean() + 1) < 0.05


def test_it_holds_of_wishart_and_finds_no_bottleneck_there(planted: dict[str, Covariances]) -> None:
    found = finding(planted)
    assert found.verdict.outcome == "holds"
    assert outcomes(found)[gaussian.BOTTLENECK] == "fails"
    assert outcomes(found)[gaussian.LEVEL] != "holds"
    assert outcomes(found)[gaussian.WRONG] == "holds"


def test_it_fails_where_non_gaussianity_levels_off(planted: dict[str, Covariances]) -> None:
    level = planted["relu"]
    level = replace(level, found=[level.found[0]] * len(WIDTHS))
    found = finding({**planted, "relu": level})
    assert found.verdict.outcome == "fails"
    assert outcomes(found)["relu, fall"] == "fails"
    assert outcomes(found)["tanh, fall"] == "holds"


@pytest.mark.parametrize("which", ["without biases", "of one layer less", "of another activation"])
def test_it_fails_beside_a_wrong_covariance(planted: dict[str, Covariances], which: str) -> None:
    other = replace(planted["tanh"], right=planted["tanh"].wrong[which])
    found = finding({**planted, "tanh": other})
    assert found.verdict.outcome == "fails"
    assert outcomes(found)["tanh, covariance"] == "fails"


def test_covariances_are_those_of_the_networks_themselves(inputs: torch.Tensor) -> None:
    lab, sizes = Lab("quick", 500, progress=None), (64, 5, 5, 5, 1)
    right = analytic(inputs, "relu")
    found = covariances(lab, inputs, "relu", (5,), 3, (right, {})).found[0]
    problem = untrained(lab, lambda: network(sizes, "relu")[:-1], inputs)
    (some,) = drawn(lab, problem, 3, f"ntk1 relu {sizes}")
    for one, state in zip(found, (some.layout.views(row) for row in some.theta), strict=True):
        module = network(sizes, "relu")[:-1]
        module.load_state_dict(dict(state))
        features = module(inputs).detach().double()
        np.testing.assert_allclose(one, features @ features.T / 5 + BIAS_STD**2, rtol=1e-5)


def test_with_one_layer_the_mean_is_the_analytic_covariance_at_every_width(inputs: torch.Tensor) -> None:
    """So nothing can fall there, and three layers are needed."""
    lab, right = Lab("quick", 500, progress=None), analytic(inputs, "relu", 1)
    problem = untrained(lab, lambda: network((64, 8, 1), "relu")[:-1], inputs)
    (some,) = drawn(lab, problem, 4_000, "one layer")
    features = outputs(problem, some).double()
    khat = (features @ features.mT / 8 + BIAS_STD**2).numpy()
    near = distance_of_mean([khat], right)
    assert near.low == 0
    assert near.high < 0.05


def test_the_limit_is_that_of_the_scaled_network_itself(inputs: torch.Tensor) -> None:
    net = network((64, 64, 64, 64, 1), "tanh")
    stds = {name: layer.in_features**0.5 for name, layer in net.named_children() if hasattr(layer, "in_features")}
    limit = ntk.infinite(net, weight_std=stds, bias_std=1.0, parameterization="as_initialized", progress=None)
    np.testing.assert_allclose(limit.nngp(inputs), analytic(inputs, "tanh"), atol=1e-5)
