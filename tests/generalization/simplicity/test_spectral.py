"""Frequencies on the circle: the analytic kernel, times from a run, and rates by a network's own kernel."""

import math

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.generalization import simplicity

ODD = (3, 5, 7, 9)


def slope(frequencies: tuple[int, ...], times: np.ndarray) -> float:
    return float(np.polyfit(np.log(frequencies), np.log(times), 1)[0])


def test_the_circle_has_the_targets_of_the_formula() -> None:
    data = simplicity.circle(64, ODD, seed=3)
    inputs, targets = data.train.slice(0, 64)
    angles = torch.atan2(inputs[:, 1], inputs[:, 0])
    phases = data.ground_truth["phases"]
    expected = sum(0.02 * torch.cos(k * angles + phase) for k, phase in zip(ODD, phases, strict=True))
    assert torch.allclose(targets[:, 0], expected)
    with pytest.raises(tw.UsageError, match="below points / 2"):
        simplicity.circle(16, (8,))


def test_the_kernel_is_the_limit_of_wide_nets() -> None:
    torch.manual_seed(0)
    net = simplicity.LazyNet(2, 100_000).double()
    angles = torch.tensor([0.0, 0.4, 2.0, 3.1, 5.0], dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], 1)
    rows = []
    for one in x:
        net.zero_grad()
        net(one[None]).sum().backward()
        rows.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    jacobian = torch.stack(rows)
    assert np.allclose(jacobian @ jacobian.T, simplicity.circle_kernel(angles), atol=0.02)


def test_odd_frequencies_need_a_bias_and_their_times_grow_as_the_square() -> None:
    angles = np.arange(512) * 2 * np.pi / 512
    values = np.fft.rfft(simplicity.circle_kernel(angles)[0]).real / 512
    assert slope(ODD, 1 / values[list(ODD)]) == pytest.approx(2.0, abs=0.02)
    without = np.fft.rfft(simplicity.circle_kernel(angles, bias=False)[0]).real / 512
    assert np.abs(without[list(ODD)]).max() < 1e-5
    assert values[0] == pytest.approx(0.554, abs=0.001)


def test_times_along_eigenvectors_are_those_of_their_eigenvalues() -> None:
    data = simplicity.circle(64, ODD)
    modes, kernel = data.ground_truth["modes"], simplicity.circle_kernel(data.ground_truth["angles"])
    found = simplicity.kernel_times(kernel, modes.sum(0), modes, learning_rate=3.0, level=0.8)
    values = np.fft.rfft(kernel[0]).real[list(ODD)] / 64
    assert np.allclose(found, math.log(0.2) / np.log(1 - 3 * values), rtol=1e-8)
    assert slope(ODD, found) == pytest.approx(2.0, abs=0.3)


def test_a_permuted_target_and_a_narrow_kernel_have_no_order() -> None:
    data = simplicity.circle(64, ODD, seed=1)
    modes, angles = data.ground_truth["modes"].numpy(), data.ground_truth["angles"].numpy()
    kernel = simplicity.circle_kernel(angles)
    slopes = []
    for seed in range(20):
        moved = modes[:, np.random.default_rng(seed).permutation(64)]
        slopes.append(slope(ODD, simplicity.kernel_times(kernel, moved.sum(0), moved)))
    assert abs(np.mean(slopes)) < 0.3
    distance = np.square(np.angle(np.exp(1j * (angles[:, None] - angles)))) / (2 * 0.02**2)
    narrow = simplicity.kernel_times(np.exp(-distance), modes.sum(0), modes)
    assert abs(slope(ODD, narrow)) < 0.01


def test_descent_on_a_kernel_is_followed_step_by_step() -> None:
    draw = np.random.default_rng(0)
    root = draw.standard_normal((12, 12))
    kernel, y, direction = root @ root.T, draw.standard_normal(12), draw.standard_normal((1, 12))
    rate = 1.5 * 12 / np.linalg.eigvalsh(kernel)[-1]
    f, shares = np.zeros(12), []
    for _ in range(5_000):
        shares.append(float(direction[0] @ f / (direction[0] @ y)))
        f -= rate * kernel @ (f - y) / 12
    first = int((np.array(shares) >= 0.9).argmax())
    found = float(simplicity.kernel_times(kernel, y, direction, learning_rate=rate)[0])
    assert first - 1.0 <= found <= first
    with pytest.raises(tw.UsageError, match="learning rate above 0 and below"):
        simplicity.kernel_times(kernel, y, direction, learning_rate=2 * rate)


def test_a_lazy_net_learns_low_frequencies_first_as_its_kernel_predicts() -> None:
    data = simplicity.circle(64, ODD, seed=500)
    problem = tw.Problem(lambda: simplicity.LazyNet(2, 1_024), data, "squared_error", dtype=torch.float32)
    steps = tuple(sorted({0, *np.unique(np.geomspace(1, 900, 80).astype(int)).tolist()}))
    per_half = 3.0 / half_mean_square(problem)
    recipe = tw.Recipe(tw.optim.SGD(lr=per_half), steps=900, batch_size=64, snapshot=steps)
    run = tw.train(problem, recipe, seeds=2)
    modes = data.ground_truth["modes"]
    found = simplicity.learning_times(problem, run, modes, coordinates=ODD)
    assert found.exponents() == pytest.approx([2.0, 2.0], abs=0.45)
    predicted = simplicity.kernel_times(
        simplicity.circle_kernel(data.ground_truth["angles"]), modes.sum(0), modes, learning_rate=3.0
    )
    assert np.abs(np.log(found["time"] / predicted)).max() < 0.3
    assert len(found.figure(predicted=predicted).panels) == 1
    own = simplicity.direction_rates(problem, problem.initialize(2), modes)["rate"]
    by_own = math.log(10) / (3 * own)
    assert np.abs(np.log(found["time"] / by_own)).max() < 0.3


def half_mean_square(problem: tw.Problem) -> float:
    """How many times half the mean square the loss is."""
    outputs, targets = torch.ones(4, 1), torch.zeros(4, 1)
    return float(problem.loss.mean(outputs, targets)) / 0.5


def test_rates_are_those_of_the_explicit_kernel() -> None:
    data = tw.data.digits().subset(train=20)
    problem = tw.Problem(
        lambda: tw.nets.mlp(64, 8, 3),
        (data.train.slice(0, 20)[0], torch.randn(20, 3)),
        "squared_error",
        dtype=torch.float64,
    )
    population = problem.initialize(2)
    x, _ = problem.data.train.slice(0, 20)
    directions = np.random.default_rng(0).standard_normal((2, 20))
    found = simplicity.direction_rates(problem, population, directions)
    for member in range(2):
        net = population.module(member)
        for output in range(3):
            rows = []
            for one in x:
                gradients = torch.autograd.grad(net(one[None])[0, output], list(net.parameters()))
                rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
            jacobian = torch.stack(rows)
            kernel = (jacobian @ jacobian.T).numpy()
            expected = np.einsum("dn,nm,dm->d", directions, kernel, directions) / 20 / np.square(directions).sum(1)
            assert np.allclose(found["rate by output"][member, :, output], expected)
    assert np.allclose(found["rate"], found["rate by output"].mean(2))


def test_shares_start_at_zero_and_end_at_one() -> None:
    data = tw.data.gaussian_linear(30, 4, noise=0.0)
    problem = tw.Problem(lambda: torch.nn.Linear(4, 1, bias=False), data, "squared_error")
    start = problem.initialize(1)
    end = start.with_theta(data.ground_truth["coefficients"].T.to(problem.dtype))
    x, _ = problem.data.train.slice(0, 30)
    found = simplicity.learning_times(problem, {0: start, 10: end}, simplicity.principal_directions(x, 3))
    assert np.allclose(found["share"][..., 0], 0)
    assert np.allclose(found["share"][..., 1], 1, atol=1e-5)
    assert np.allclose(found["time"], 9, atol=1e-3)
    with pytest.raises(tw.UsageError, match="positive coordinates"):
        found.exponents()
    fitted = tw.Problem(lambda: torch.nn.Linear(4, 1, bias=False), (x, torch.zeros(30, 1)), "squared_error")
    zero = {0: start.with_theta(torch.zeros_like(start.theta))}
    with pytest.raises(tw.UsageError, match="nothing to learn"):
        simplicity.learning_times(fitted, zero, np.ones((1, 30)))


def test_members_with_targets_of_their_own_are_followed_along_directions_of_their_own() -> None:
    sets = [simplicity.circle(32, (1, 3), amplitude=0.5, seed=seed) for seed in (1, 2)]
    pool, rows = tw.data.pooled([one.train for one in sets])
    problem = tw.Problem(lambda: simplicity.LazyNet(2, 64), pool, "squared_error")
    recipe = tw.Recipe(tw.optim.SGD(lr=0.5), steps=60, snapshot=tuple(range(0, 61, 4)))
    run = tw.train(problem, recipe, seeds=2, examples=rows)
    modes = np.stack([one.ground_truth["modes"].numpy() for one in sets])
    found = simplicity.learning_times(problem, run, modes, rows=run.examples)
    for member in range(2):
        alone = {step: population[[member]] for step, population in run.snapshots.items()}
        own = problem.data.train.select(rows[member])
        single = simplicity.learning_times(problem, alone, modes[member], on=own)
        assert np.allclose(found["share"][member], single["share"][0], atol=1e-6)
    with pytest.raises(tw.UsageError, match=r"\(2, directions, 32\)"):
        simplicity.learning_times(problem, run, modes[:1], rows=run.examples)
    with pytest.raises(tw.UsageError, match="a row for each member"):
        simplicity.learning_times(problem, run, modes, rows=rows[:1])


def test_shares_of_a_kernel_are_those_of_descent() -> None:
    draw = np.random.default_rng(1)
    root = draw.standard_normal((10, 10))
    kernel, y, directions = root @ root.T, draw.standard_normal(10), draw.standard_normal((2, 10))
    rate = 1.8 * 10 / np.linalg.eigvalsh(kernel)[-1]
    f, expected = np.zeros(10), []
    for _ in range(30):
        expected.append(directions @ f / (directions @ y))
        f -= rate * kernel @ (f - y) / 10
    found = simplicity.kernel_shares(kernel, y, directions, np.arange(30), learning_rate=rate)
    assert np.allclose(found, np.array(expected).T)
    times = simplicity.kernel_times(kernel, y, directions, learning_rate=rate, level=0.3)
    for place in range(2):
        assert simplicity.kernel_shares(kernel, y, directions, [times[place]], learning_rate=rate)[place, 0] > 0.2999
    with pytest.raises(tw.UsageError, match="numbers from 0"):
        simplicity.kernel_shares(kernel, y, directions, [-1.0])
