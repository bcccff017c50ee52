"""NTK9: what it says of numbers put in by hand, its random nets against torch's own, and its limits."""

import numpy as np
import pytest
import torch

from thalweg import nets, ntk, optim
from thalweg.studies import Lab
from thalweg.studies.ntk import conditioning, limits
from thalweg.studies.ntk.conditioning import judged
from thalweg.studies.ntk.limits import PhaseMap, critical
from thalweg.studies.ntk.random_nets import Architecture, Stack, drawn, train
from thalweg.studies.ntk.setting import digits_of_one_norm
from thalweg.studies.ntk.trainability import ACCURACY, ADAM, KAPPA, STEPS, Scored, kernels_of, scored, scores_of, tau
from thalweg.studies.ntk.wide_enough import BEYOND, CONDITION, DISTANCE, DRIFT, Measured, measured

LAB = Lab("quick", 900, progress=None).on((conditioning.CLAIM,))
DEEP = {"ReLU": 1.005, "erf": 0.997, limits.EARLIER: 0.99, limits.NORMS: 13.0} | dict.fromkeys(
    (limits.BIASED, limits.BIASED_DEEPER, limits.UNBIASED), 11.0
)


def planted(order=1.0, test=0.5, told=0.0, deep=DEEP):
    """Forty architectures whose steps follow the condition number, and widths whose f - f_lin falls as 1 / width."""
    rng = np.random.default_rng(0)
    kappa = rng.normal(size=40)
    score = lambda by: np.exp(by * kappa + 0.5 * rng.normal(size=40))  # noqa: E731
    scores = {KAPPA: np.exp(kappa), "predicted steps": score(1), "smallest eigenvalue": score(0)}
    outcomes = {STEPS: score(order), ADAM: score(0), ACCURACY: score(test)}
    widths = (16, 512, 2_048)
    falls = np.array(widths)[:, None] ** -1.0 * np.exp(0.1 * rng.normal(size=(3, 6)))
    tables = {CONDITION: np.exp(0.05 * rng.normal(size=(3, 6))) * falls**told, BEYOND: falls}
    tables |= {DISTANCE: falls**0.5, DRIFT: falls}
    shape = (len(limits.MAP_DEPTHS), len(limits.MAP_STDS))
    phases = PhaseMap(rng.normal(size=shape), rng.random(size=shape), np.zeros(shape, bool))
    return judged(LAB, dict(deep), phases, drawn(0, 40), Scored(scores, outcomes, 0.0), Measured(widths, tables))


def outcomes(finding):
    return {part.part.id: part.outcome for part in finding.verdict.parts}


def test_it_holds_of_what_it_states():
    finding = planted()
    assert finding.verdict.outcome == "holds"
    assert outcomes(finding)["Adam"] != "holds"  # which decides nothing
    for figure in finding.figures:
        figure.to_matplotlib()


@pytest.mark.parametrize(
    ("part", "put_in"),
    [
        ("order", {"order": -0.5}),
        ("test", {"test": -2.0}),
        ("width", {"told": 1.0}),
        ("ReLU", {"deep": DEEP | {"ReLU": 1.7}}),
        ("erf", {"deep": DEEP | {"erf": 0.09}}),
    ],
)
def test_each_part_fails_where_it_is_not_so(part, put_in):
    finding = planted(**put_in)
    assert outcomes(finding)[part] == "fails"
    assert finding.verdict.outcome == "fails"


def test_a_condition_number_that_means_nothing_does_not_hold():
    assert outcomes(planted(order=0.0))["order"] != "holds"


def test_tau_is_exact_at_its_ends_and_its_interval_covers_nothing_where_there_is_nothing():
    x = np.arange(20.0)
    same, turned = tau(x, x**3), tau(x, -x)
    assert (same.estimate, same.low, same.high) == (1, 1, 1)
    assert (turned.estimate, turned.low, turned.high) == (-1, -1, -1)
    rng = np.random.default_rng(0)
    missed = sum(not one.low <= 0 <= one.high for one in (tau(*rng.normal(size=(2, 30))) for _ in range(60)))
    assert missed <= 9  # 3 on average of 95 %
    ties = tau(x, np.minimum(x, 10))
    assert 0.5 < ties.low < ties.estimate < 1


def test_the_limits_need_inputs_of_one_norm_and_the_right_biases():
    pixels, _ = digits_of_one_norm()
    found = limits.limits(pixels[:20], pixels[:20] * torch.linspace(0.3, 2, 20)[:, None])
    assert found["ReLU"] == pytest.approx(1, abs=0.01)
    assert found["erf"] == pytest.approx(1, abs=0.01)
    assert found[limits.NORMS] > 1.2 * 23 / 3
    assert found[limits.BIASED_DEEPER] > found[limits.BIASED] > 1.2 * 23 / 3
    assert found[limits.UNBIASED] == pytest.approx(1, abs=1e-3)


def test_the_critical_line_is_where_the_design_has_it():
    assert critical(0.3) == pytest.approx(1.23367, abs=1e-4)
    q, dual = torch.ones(1, dtype=torch.float64), ntk.dual_of("erf", {})
    for _ in range(500):
        q = critical(0.3) ** 2 * dual.second_moment(q) + 0.09
    assert critical(0.3) ** 2 * float(dual.derivative(q)) == pytest.approx(1, abs=1e-6)


def test_the_map_has_an_ordered_and_a_chaotic_side():
    pixels, of = digits_of_one_norm()
    signs = (1 - 2 * (of % 2)).float()
    found = limits.phases(pixels[:16], signs[:16], pixels[16:200], signs[16:200].numpy())
    assert found.log10[-1, 0] > 4  # deep and ordered
    assert found.log10[-1, -1] < 1e-3  # deep and chaotic: orthogonal
    assert abs(found.accuracy[-1, -1] - 0.5) < 0.15
    assert found.accuracy[0].min() > 0.65


def stack_of(*depths, activation="tanh", width=16):
    made = [Architecture(activation, depth, 1.3, 0.2) for depth in sorted(depths, reverse=True)]
    return Stack.of(made, list(range(len(made))), 6, width)


def as_module(stack, place):
    """One net of a stack as a module."""
    depth = int(stack.depths[place])
    net = nets.ntk_mlp(6, *(stack.layers[-1][0].shape[1],) * depth, 1, activation="tanh", weight_std=1.3, bias_std=0.2)
    layers = [layer for layer in net if isinstance(layer, nets.ScaledLinear)]
    for layer, (weight, bias) in zip(layers, (*stack.layers[:depth], stack.layers[-1]), strict=True):
        layer.weight.data, layer.bias.data = weight[place].T.clone(), bias[place, 0].clone()
    return net


def test_nets_of_a_stack_are_those_of_modules_and_so_are_their_kernels():
    stack, x = stack_of(1, 3, 2, 3), torch.randn(5, 6)
    values, kernels = stack.outputs(x.expand(4, -1, -1))[0], stack.kernels(x.expand(4, -1, -1))
    for place in range(4):
        net = as_module(stack, place)
        torch.testing.assert_close(values[place], net(x)[:, 0].detach(), rtol=1e-4, atol=1e-5)
        rows, parameters = [], list(net.parameters())
        for one in net(x)[:, 0]:
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(one, parameters, retain_graph=True)]))
        jacobian = torch.stack(rows)
        torch.testing.assert_close(kernels[place], jacobian @ jacobian.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rule", [optim.SGD(1.0), optim.Adam()])
def test_a_stack_trains_as_torch_trains_each_net_also_when_others_have_left(rule):
    torch.manual_seed(0)
    stack, x, y = stack_of(1, 3, 2), torch.randn(3, 5, 6), torch.randn(3, 5).sign()
    rates = torch.tensor([0.002, 0.01, 0.005])
    found = train(stack, (x, y), (x, y), rates, rule=rule, cap=400, level=0.05)
    assert (train(stack, (x, y), (x, y), rates, rule=rule, cap=400, level=0.05).steps == found.steps).all()  # once more
    assert len(set(found.steps)) == 3
    for place in range(3):
        net = as_module(stack, place)
        start = net(x[place])[:, 0].detach()
        kind = getattr(torch.optim, type(rule).__name__)
        optimizer = kind(net.parameters(), lr=float(rates[place]))
        taken = 0
        while True:
            loss = (net(x[place])[:, 0] - start - y[place]).square().sum() / 2
            if loss.item() <= 0.05 * 5 / 2 or taken == 400:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken += 1
        assert abs(taken - found.steps[place]) <= 1
        assert found.accuracy[place] == 1


def test_nets_that_do_not_arrive_are_at_the_cap():
    x, y = torch.randn(2, 5, 6), torch.ones(2, 5)
    found = train(stack_of(1, 2), (x, y), (x, y), torch.full((2,), 1e-6), rule=optim.SGD(1.0), cap=7)
    assert found.steps.tolist() == [7, 7]
    assert np.isfinite(found.accuracy).all()


def test_an_architecture_has_its_own_seeds_and_scores():
    pixels, of = digits_of_one_norm()
    digits, some = (pixels, (1 - 2 * (of % 2)).float()), drawn(900, 6)
    assert some == drawn(900, 6)
    assert [one.activation for one in some[:4]] == ["relu", "erf", "tanh", "gelu"]
    seeds = list(range(900_000, 900_012))
    found = scored(some, seeds, digits, 16)
    assert all(values.shape == (6,) for values in (*found.scores.values(), *found.outcomes.values()))
    assert (found.scores["depth"] == [one.depth for one in some]).all()
    alone = scored(some[:1], seeds[:2], digits, 16)
    assert alone.outcomes[STEPS][0] == pytest.approx(found.outcomes[STEPS][0], abs=1)
    assert alone.scores[KAPPA][0] == pytest.approx(found.scores[KAPPA][0])
    x, y = pixels[:96].reshape(6, 2, 8, -1), digits[1][:8].expand(2, -1)
    for place, (one, kernels) in enumerate(zip(some, kernels_of(some, x), strict=True)):
        kind = {"activation": one.activation, "weight_std": one.weight_std, "bias_std": one.bias_std}
        own = ntk.over_depth(x[place, 1], depths=[one.depth], **kind)
        for both, wanted in zip(kernels, (own.nngp, own.ntk), strict=True):
            torch.testing.assert_close(both[1], wanted[0], rtol=1e-6, atol=0)
        values = [torch.linalg.eigvalsh(kernel) for kernel in kernels[1]]
        geometric = np.exp(np.mean([float((of[-1] / of[0]).log()) for of in values]))
        assert scores_of(kernels, y)[KAPPA] == pytest.approx(geometric, rel=1e-6)


def test_widening_brings_nets_to_their_linearization_and_the_condition_number_near_its_limit():
    found = measured(LAB, [900_000, 900_001, 900_002], (16, 256))
    narrow, wide = (dict(zip(found.tables, row, strict=True)) for row in zip(*found.tables.values(), strict=True))
    assert narrow[BEYOND].mean() > 4 * wide[BEYOND].mean()
    assert narrow[CONDITION].mean() > wide[CONDITION].mean()
    assert wide[CONDITION].mean() == pytest.approx(1, abs=0.3)
