"""NTK6: formulas against limits, planted kernels, and settings on which it must not hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from thalweg import ntk
from thalweg.claims import Finding
from thalweg.studies import Lab
from thalweg.studies.ntk import architectures, lecture_formulas
from thalweg.studies.ntk.families import BIAS_STD, CASES, SOFTMAX, Case, linear
from thalweg.studies.ntk.mean_kernels import Measured, measured
from thalweg.studies.ntk.setting import drawn, untrained

BY_NAME = {case.name: case for case in CASES}
SEED = 500


def planted(case: Case, networks: int = 400, spread: float = 0.1) -> Measured:
    """Kernels that are the analytic ones times random numbers of mean 1, one a network."""
    inputs = case.inputs(SEED)
    limit = case.limit(inputs)
    right = {"K": limit.nngp.numpy(), "Theta": limit.ntk.numpy()}
    random = np.random.default_rng(len(case.name))
    kernels = {name: [one * (1 + spread * random.normal(size=(networks, 1, 1)))] for name, one in right.items()}
    lecture = {name: one.numpy() for name, one in lecture_formulas.of(case.name, inputs).items()}
    return Measured(case, (64,), kernels, right, {"K": 0.0, "Theta": 0.0}, lecture)


@pytest.fixture(scope="module")
def right() -> dict[str, Measured]:
    return {case.name: planted(case) for case in CASES}


def finding(each: dict[str, Measured]) -> Finding:
    lab = Lab("quick", SEED, progress=None).on((architectures.CLAIM,))
    return architectures.found(lab, list(each.values()))


def outcomes(found: Finding) -> dict[str, str]:
    return {one.part.id: one.outcome for one in found.verdict.parts}


def test_it_holds_of_kernels_about_the_analytic_ones(right: dict[str, Measured]) -> None:
    found = finding(right)
    assert found.verdict.outcome == "holds"
    assert found.verdict.lecture is not None
    assert found.verdict.lecture.outcome == "fails"


@pytest.mark.parametrize("name", ["FC, ReLU, 3 layers", "CNN, pooled", "attention, 1/d, tied"])
def test_it_fails_of_networks_that_follow_the_lecture(right: dict[str, Measured], name: str) -> None:
    one = right[name]
    shift = next(iter(one.lecture.values())) - one.limit["Theta"]
    wrong = replace(one, kernels={**one.kernels, "Theta": [one.kernels["Theta"][0] + shift]})
    found = finding({**right, name: wrong})
    assert found.verdict.outcome == "fails"
    family = one.case.family
    assert outcomes(found)[family] == "fails"
    # The lecture's sum over layers is excluded only if it is for all three fully connected networks.
    assert outcomes(found)[f"lecture, {family}"] == "fails"


@pytest.mark.parametrize("kernel", ["K", "Theta"])
def test_it_fails_where_one_kernel_of_one_network_is_off_by_a_tenth(right: dict[str, Measured], kernel: str) -> None:
    one = right["FC, GELU, 2 layers"]
    off = replace(one, kernels={**one.kernels, kernel: [1.1 * one.kernels[kernel][0]]})
    found = finding({**right, "FC, GELU, 2 layers": off})
    assert outcomes(found)["FC"] == found.verdict.outcome == "fails"


def test_few_networks_do_not_show_that_kernels_are_equal(right: dict[str, Measured]) -> None:
    """A test for a difference would pass."""
    few = planted(BY_NAME["CNN, flattened"], networks=20, spread=0.3)
    assert few.away("Theta").low < 0.05
    assert finding({**right, "CNN, flattened": few}).verdict.outcome == "undecided"


def test_means_of_two_widths_are_extrapolated() -> None:
    one = planted(BY_NAME["CNN, flattened"])
    wide, narrow = ([1 + 0.4 / width] for width in (2, 1))
    both = {name: [wide * kernel[0], narrow * kernel[0]] for name, kernel in one.kernels.items()}
    assert replace(one, kernels=both, widths=(2, 1)).away("K").high < 0.05
    assert replace(one, kernels={name: of[:1] for name, of in both.items()}).away("K").low > 0.15


def test_the_doubt_of_the_limit_widens_the_ball(right: dict[str, Measured]) -> None:
    one = right[SOFTMAX]
    doubtful = replace(one, doubt={"K": float(np.linalg.norm(one.limit["K"])), "Theta": 0.0})
    assert doubtful.away("K").high == pytest.approx(one.away("K").high + 1)
    assert doubtful.away("Theta") == one.away("Theta")


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != SOFTMAX])
def test_only_softmax_of_scores_that_fluctuate_is_in_doubt(name: str) -> None:
    case = BY_NAME[name]
    assert case.doubt(case.inputs(SEED), ntk.Kernels(*[torch.zeros(0)] * 2, 0.0, "ntk", torch.float64, ())) == (0, 0)


def test_the_doubt_of_softmax_is_small() -> None:
    case = BY_NAME[SOFTMAX]
    inputs = case.inputs(SEED)
    limit = case.limit(inputs)
    doubts = case.doubt(inputs, limit)
    assert 0 < doubts[0] < 0.02 * float(limit.nngp.norm())
    assert 0 < doubts[1] < 0.02 * float(limit.ntk.norm())


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.startswith("FC")])
def test_the_corrected_recursion_is_the_limit_and_the_lectures_sum_is_not(name: str) -> None:
    case, kinds = BY_NAME[name], {"ReLU": ("relu", 3), "tanh": ("tanh", 2), "GELU": ("gelu", 2)}
    activation, hidden = kinds[name.split(", ")[1]]
    inputs = case.inputs(SEED)
    limit = case.limit(inputs).ntk
    torch.testing.assert_close(lecture_formulas.perceptron(inputs, activation, hidden), limit, rtol=1e-6, atol=1e-6)
    for wrong in lecture_formulas.summed(inputs, activation, hidden).values():
        assert float((wrong - limit).norm() / limit.norm()) > 0.05


def test_on_the_diagonal_the_sum_is_what_pencil_and_paper_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lecture_formulas, "BIAS_STD", 0.0)
    inputs = BY_NAME["FC, ReLU, 3 layers"].inputs(SEED)
    for layers in (1, 3):
        right, wrong = (
            lecture_formulas.perceptron(inputs, "relu", layers),
            lecture_formulas.summed(inputs, "relu", layers)["from the inputs"],
        )
        torch.testing.assert_close(right.diagonal(), torch.full((4,), layers + 1.0).double(), rtol=1e-6, atol=0)
        torch.testing.assert_close(wrong.diagonal(), torch.full((4,), 2 * layers + 0.5).double(), rtol=1e-6, atol=0)


def test_values_and_outputs_are_what_the_lectures_attention_lacks() -> None:
    """With one layer below K = Theta, so the whole is three times as much, and the bias of the output."""
    case = BY_NAME["attention, 1/d, tied"]
    inputs = case.inputs(SEED)
    whole = 3 * lecture_formulas.attended(inputs) + BIAS_STD**2
    torch.testing.assert_close(whole, case.limit(inputs).ntk, rtol=1e-6, atol=1e-6)


def test_the_sum_over_patches_is_right_for_one_layer_without_pooling() -> None:
    """Where the lecture's formula is exact, it is not said to be wrong."""
    case = BY_NAME["CNN, flattened"]
    one = replace(case, build=lambda width: without_second_layer(case.build(width), width))
    inputs = case.inputs(SEED)
    patches = nn.functional.unfold(inputs.double(), 3, padding=1).permute(2, 0, 1)
    torch.testing.assert_close(
        lecture_formulas.perceptron(patches, "relu", 1).mean(0), one.limit(inputs).ntk, rtol=1e-6, atol=1e-6
    )


def without_second_layer(network: nn.Sequential, width: int) -> nn.Sequential:
    return nn.Sequential(network[0], network[1], network[4], linear(16 * width, 4))


def test_networks_of_which_kernels_are_measured_are_the_module_itself() -> None:
    """K of features, and Theta, of one drawn network against derivatives by hand."""
    lab, case = Lab("quick", SEED, progress=None), BY_NAME["attention, 1/d, tied"]
    found = measured(lab, case, 2, (4,))
    inputs, module = case.inputs(SEED), case.build(4)
    theta = first_drawn(lab, case, inputs)
    torch.nn.utils.vector_to_parameters(theta, module.parameters())
    rows = [
        torch.cat([one.flatten() for one in torch.autograd.grad(output, list(module.parameters()), retain_graph=True)])
        for output in module(inputs).T.flatten()
    ]
    whole = torch.stack(rows).reshape(4, 4, -1)  # outputs, examples, parameters
    theta_kernel = (whole @ whole.mT).mean(0)
    np.testing.assert_allclose(found.kernels["Theta"][0][0], theta_kernel, rtol=1e-4)
    features = module[:-1](inputs).detach()
    np.testing.assert_allclose(
        found.kernels["K"][0][0], features @ features.T / features.shape[1] + BIAS_STD**2, rtol=1e-4
    )


def first_drawn(lab: Lab, case: Case, inputs: torch.Tensor) -> torch.Tensor:
    problem = untrained(lab, lambda: case.build(4), inputs)
    (some,) = drawn(lab, problem, 2, f"ntk6 {case.name} 4")
    return some.theta[0]
