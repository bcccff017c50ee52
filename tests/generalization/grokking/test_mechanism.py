"""The Fourier analysis against networks whose frequencies and phases are known, and the exact solution."""

import math

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import evaluate
from thalweg.generalization import grokking
from thalweg.generalization.grokking.weights import tables, with_tables


def planted(p: int, width: int, seed: int = 0, operation: str = "+") -> tuple[tw.Population, dict[str, torch.Tensor]]:
    """A network of one cosine a neuron, and its frequencies and phases."""
    draw = torch.Generator().manual_seed(seed)
    group = grokking.as_addition(p, operation)
    k = torch.randint(1, (group.order - 1) // 2 + 1, (width,), generator=draw)
    phases = 2 * math.pi * torch.rand(3, width, generator=draw, dtype=torch.float64) - math.pi
    sizes = 0.5 + torch.rand(3, width, generator=draw, dtype=torch.float64)
    angle = 2 * math.pi / group.order * torch.arange(group.order, dtype=torch.float64)[:, None] * k
    values = 0.3 + sizes[:, None] * (angle + phases[:, None]).cos()
    net = tw.Population.of([tw.nets.modular_mlp(p, width)]).to(dtype=torch.float64)
    return with_tables(net, group, values[None]), {"k": k, "phases": phases, "sizes": sizes}


@pytest.mark.parametrize("operation", ["+", "-", "*", "/"])
def test_planted_frequencies_phases_and_powers_are_found(operation: str) -> None:
    population, truth = planted(13, 40, operation=operation)
    found = grokking.fourier(population, 13, operation)
    assert found["frequency"][0].tolist() == truth["k"].tolist()
    np.testing.assert_allclose(np.exp(1j * found["phase"][0]), np.exp(1j * truth["phases"].numpy()), atol=1e-10)
    np.testing.assert_allclose(found["ipr"][0], 1, atol=1e-10)
    weight = (truth["sizes"] ** 2).sum(0)
    np.testing.assert_allclose(found["weight"][0], (weight / weight.sum()).numpy(), rtol=1e-10)
    rule = (truth["phases"][0] + truth["phases"][1] - truth["phases"][2]).cos()
    assert found["phase rule"][0] == pytest.approx(float((weight * rule).sum() / weight.sum()))
    found.figure()


def test_power_is_the_mean_square_of_what_is_not_constant() -> None:
    population = tw.Population.initialize(lambda: tw.nets.modular_mlp(11, 6), [0, 1])
    for operation in ("+", "*"):  # of an odd and of an even order
        group = grokking.as_addition(11, operation)
        values = tables(population, group)
        varying = (values - values.mean(2, keepdim=True)).square().mean(2).sum((1, 2))
        np.testing.assert_allclose(grokking.fourier(population, 11, operation)["power"].sum(1), varying, rtol=1e-6)


def test_neurons_of_noise_have_no_frequency() -> None:
    population = tw.Population.initialize(lambda: tw.nets.modular_mlp(59, 256), range(3))
    found = grokking.fourier(population, 59)
    assert (np.abs(found["phase rule"]) < 0.3).all()
    assert (found["one frequency"] < 0.05).all()
    np.testing.assert_allclose(found["concentration"], 2 / 30, rtol=0.05)  # of 29 exponential powers: 2/(29 + 1)
    assert (found["effective frequencies"] > 28).all()


@pytest.mark.parametrize("p", [3, 5, 13, 31, 97])
def test_the_exact_solution_has_the_logits_of_its_formula_on_all_pairs(p: int) -> None:
    i, j = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    wanted = 4.5 * (p / 2 * (torch.arange(p) == ((i + j) % p)[:, None]).double() - 0.5)
    exact = grokking.constructed(p)
    assert exact.layout.entries[0].shape == (p, 9 * (p - 1) // 2)
    logits = exact.module(0)(torch.stack([i, j], 1)).detach()
    torch.testing.assert_close(logits, wanted, atol=1e-9, rtol=0)
    if p > 3:
        relu = grokking.constructed(p, activation="relu").module(0)(torch.stack([i, j], 1))
        assert bool((relu.argmax(1) == (i + j) % p).all())


def test_a_lookup_net_is_the_perceptron_on_one_hot_pairs() -> None:
    p, width = 7, 12
    lookups = tw.Problem(lambda: tw.nets.modular_mlp(p, width), tw.data.modular(p, encoding="tokens"))
    products = tw.Problem(lambda: tw.nets.mlp(2 * p, width, p, bias=False), tw.data.modular(p))
    net = lookups.initialize(1).module(0)
    other = products.template
    with torch.no_grad():
        other.hidden1.weight.copy_(torch.cat([net.first.weight, net.second.weight]).T)
        other.output.weight.copy_(net.output.weight)
    one, two = lookups.population(net), products.population(other)
    torch.testing.assert_close(evaluate(lookups, one)["loss"], evaluate(products, two)["loss"])
    group = grokking.as_addition(p)
    assert torch.equal(tables(one, group), tables(two, group))
    reduced = [tables(grokking.projected(each, p), group) for each in (one, two)]
    torch.testing.assert_close(reduced[0], reduced[1])
    assert lookups.initialize(1).theta[:, : 2 * p * width].abs().max() <= (2 * p) ** -0.5
    rows = grokking.restricted(lookups, one)["loss"], grokking.restricted(products, two)["loss"]
    np.testing.assert_allclose(*rows, rtol=1e-5)


def test_a_projected_network_is_its_own_projection_and_a_random_frequency_loses_it() -> None:
    population, truth = planted(13, 40)
    assert torch.allclose(grokking.projected(population, 13).theta, population.theta)
    other = truth["k"][None] % 6 + 1
    lost = tables(grokking.projected(population, 13, frequency=other), grokking.as_addition(13))
    np.testing.assert_allclose(lost, 0.3, atol=1e-10)  # the means alone


@pytest.mark.parametrize(("operation", "p"), [("+", 11), ("-", 11), ("*", 11), ("/", 11), ("*", 3)])
def test_a_group_is_the_table_of_data(operation: str, p: int) -> None:
    group = grokking.as_addition(p, operation)
    inputs, targets = tw.data.modular(p, operation, train_fraction=1.0, encoding="tokens").train.slice(0, p * p)
    table = {(int(a), int(b)): int(c) for (a, b, _), c in zip(inputs, targets, strict=True)}
    assert all(table[int(a), int(b)] == int(c) for (a, b, _), c in zip(group.pairs, group.answers, strict=True))


def test_restricted_answers_are_means_over_pairs_of_equal_sum() -> None:
    p = 5
    problem = tw.Problem(lambda: tw.nets.modular_mlp(p, 8), tw.data.modular(p, encoding="tokens"), dtype=torch.float64)
    population = problem.initialize(2)
    found = grokking.restricted(problem, population)
    net = population.module(1)
    logits = {(i, j): net(torch.tensor([i, j])).detach() for i in range(p) for j in range(p)}
    mean = {s: sum(logits[i, (s - i) % p] for i in range(p)) / p for s in range(p)}
    whole = sum(mean.values()) / p
    held = problem.data.test.inputs[:, :2].tolist()
    wanted = {"restricted": [], "excluded": []}
    for i, j in held:
        s = (i + j) % p
        wanted["restricted"].append(-mean[s].log_softmax(0)[s])
        wanted["excluded"].append(-(logits[i, j] - mean[s] + whole).log_softmax(0)[s])
    got = found.reading.select("member", 1).select("examples", "test")
    for name, values in wanted.items():
        assert float(got.select("answers", name)["loss"]) == pytest.approx(float(torch.stack(values).mean()))
    assert float(got.select("answers", "all")["loss"]) == pytest.approx(
        float(evaluate(problem, population, "test")["loss"][1])
    )
    found.figure()


def test_what_cannot_be_analyzed_is_said() -> None:
    population = tw.Population.initialize(lambda: tw.nets.modular_mlp(15, 4), [0])
    with pytest.raises(UsageError, match=r"odd prime.*got 15: it is 3 times 5"):
        grokking.fourier(population, 15)
    with pytest.raises(UsageError, match="got 2: 2 has a single frequency"):
        grokking.constructed(2)
    with pytest.raises(ModelError, match=r"read from nets.modular_mlp\(7\)"):
        grokking.fourier(tw.Population.initialize(lambda: tw.nets.modular_transformer(7, 8), [0]), 7)
    with pytest.raises(UsageError, match="operation"):
        grokking.as_addition(7, "^")
    with pytest.raises(UsageError, match="a frequency from 1 to 3"):
        grokking.projected(grokking.constructed(7), 7, frequency=torch.full((1, 27), 4))
    digits = tw.Problem(lambda: tw.nets.mlp(64, 13), tw.data.digits())
    with pytest.raises(UsageError, match="odd prime"):
        grokking.restricted(digits, digits.initialize(1))
