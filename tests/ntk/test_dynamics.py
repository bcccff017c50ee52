"""Dynamics of a constant kernel against training the linearized network step by step."""

import math

import numpy as np
import pytest
import torch
from ntk.linear_net import C, LinearNet, N
from torch import Tensor
from torch.nn import functional

import thalweg as tw

STEPS = 40
RULES = {
    "plain": {},
    "decay": {"weight_decay": 0.3},
    "heavy-ball": {"momentum": 0.8},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "schedule": {"schedule": tw.schedules.Cosine(warmup=5)},
    "all": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.2, "schedule": tw.schedules.Linear()},
}
LOSSES = {
    "half_sum": (1.0, lambda f, y: (f - y).square().sum() / 2),
    "half_mean": (N * C, lambda f, y: (f - y).square().mean() / 2),
    "mean": (N * C / 2, functional.mse_loss),
}


@pytest.fixture(scope="module")
def net() -> LinearNet:
    return LinearNet()


def kernels(net: LinearNet) -> dict[str, Tensor]:
    return {"kernel": net.kernel, "cross": net.cross, "targets": net.targets}


def starts(net: LinearNet) -> dict[str, Tensor]:
    return {"start": net.start[:N], "start_test": net.start[N:]}


def assert_outputs(path: tw.ntk.Path, expected: Tensor) -> None:
    found = np.concatenate([path["train"][0], path["test"][0]], 1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rule", RULES)
def test_descent_is_that_of_the_linearized_net_with_decay_to_zero(net: LinearNet, rule: str, loss: str) -> None:
    scale, function = LOSSES[loss]
    given = {**RULES[rule], "lr": 0.4 * scale / net.top}
    if "weight_decay" in given:
        given["weight_decay"] = given["weight_decay"] * net.top / scale / 10
    expected = net.trained(lambda f, _: function(f, net.targets), STEPS, **given)
    to = {"origin": net.origin[:N], "origin_test": net.origin[N:]} if "weight_decay" in given else {}
    path = tw.ntk.gradient_descent(
        **kernels(net), **starts(net), **to, **given, steps=list(range(STEPS + 1)), loss=loss
    )
    assert_outputs(path, expected)
    assert path.convention in " ".join(path.reading.notes)
    losses = [float(function(one[:N], net.targets)) for one in expected]
    np.testing.assert_allclose(path["loss"][0], losses, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", ["plain", "heavy-ball", "nesterov", "schedule"])
def test_decay_to_the_start_and_to_zero(net: LinearNet, rule: str) -> None:
    given, decay = {**RULES[rule], "lr": 0.4 / net.top}, 0.2 * net.top
    leaves = [one for one in net.module.network.parameters()]

    def loss(f: Tensor, _: int) -> Tensor:
        pairs = zip(leaves, net.module.initial.parameters(), strict=True)
        away = sum((one - start).square().sum() for one, start in pairs)
        return (f - net.targets).square().sum() / 2 + decay / 2 * away

    some = [0, 1, 7, STEPS]
    path = tw.ntk.gradient_descent(**kernels(net), **starts(net), **given, steps=some, weight_decay=decay)
    assert_outputs(path, net.trained(loss, STEPS, **given)[some])
    path = tw.ntk.gradient_descent(
        **kernels(net),
        **starts(net),
        **given,
        steps=some,
        weight_decay=decay,
        origin=net.origin[:N],
        origin_test=net.origin[N:],
    )
    plain = lambda f, _: (f - net.targets).square().sum() / 2  # noqa: E731
    assert_outputs(path, net.trained(plain, STEPS, **given, weight_decay=decay)[some])


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_flow_is_descent_of_small_steps(net: LinearNet, decay: float) -> None:
    """Richardson over the rate: the error of descent is of first order in it."""
    to = {"weight_decay": decay * net.top, "origin": net.origin[:N], "origin_test": net.origin[N:]} if decay else {}
    given = {**kernels(net), **starts(net), **to}
    time = 3 / net.top
    flow = tw.ntk.gradient_flow(**given, times=[time])
    found = []
    for steps in (2**18, 2**19, 2**20):
        found.append(tw.ntk.gradient_descent(**given, lr=time / steps, steps=steps))
    for name in ("train", "test"):
        one, two, three = (path[name] for path in found)
        closer, finer = 2 * two - one, 2 * three - two
        np.testing.assert_allclose((4 * finer - closer) / 3, flow[name], rtol=0, atol=1e-8)
        assert np.abs(one - flow[name]).max() > 1e-8


def test_flow_is_the_matrix_exponential(net: LinearNet) -> None:
    rows = net.kernel.permute(0, 2, 1, 3).reshape(N * C, N * C)
    residual = (net.targets - net.start[:N]).reshape(-1)
    scaled = rows / (N * C)
    for time in (0.0, 0.3, 5.0):
        path = tw.ntk.gradient_flow(**kernels(net), **starts(net), times=time, loss="half_mean")
        expected = net.targets.reshape(-1) - torch.linalg.matrix_exp(-scaled * time) @ residual
        np.testing.assert_allclose(path["train"].ravel(), expected.numpy(), rtol=0, atol=1e-11)


def test_the_end_of_flow_is_regression_also_for_a_singular_kernel() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(9, 4, generator=draw, dtype=torch.float64)  # 9 examples in 4 dimensions, and 3 for tests
    kernel, cross = features[:6] @ features[:6].T, features[6:] @ features[:6].T
    targets = torch.randn(6, 2, generator=draw, dtype=torch.float64)
    path = tw.ntk.gradient_flow(kernel, cross, targets, times=[0.0, 1.0, 1e6, 1e30, math.inf])
    inverse = torch.linalg.pinv(features[:6])
    np.testing.assert_allclose(path["test"][0, -1], (features[6:] @ inverse @ targets).numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(path["train"][0, -1], (features[:6] @ inverse @ targets).numpy(), rtol=0, atol=1e-12)
    for step in (2, 3):
        np.testing.assert_allclose(path["test"][0, step], path["test"][0, -1], rtol=0, atol=1e-12)
    assert not path["train"][0, 0].any()
    assert "rank 4 of 6" in path.reading.notes[1]


@pytest.mark.parametrize(
    "kernel", [torch.zeros(3, 3), torch.eye(3), torch.ones(3, 3), torch.diag(torch.tensor([2.0, 2, 0]))]
)
def test_repeated_and_zero_eigenvalues_give_numbers(kernel: Tensor) -> None:
    targets, cross = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64), kernel[:2]
    kernel = kernel.double()
    for given in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"schedule": tw.schedules.Cosine()}):
        path = tw.ntk.gradient_descent(kernel, cross, targets, lr=0.1, steps=[0, 1, 5], **given)
        f, velocity = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        for step in range(1, 6):
            gradient = f - targets
            velocity = given.get("momentum", 0) * velocity + gradient
            move = gradient + 0.9 * velocity if given.get("nesterov") else velocity
            rate = 0.1 * float(given["schedule"](step, 5)) if "schedule" in given else 0.1
            f = f - rate * kernel @ move
        np.testing.assert_allclose(path["train"][0, -1, :, 0], f.numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(path["test"][0, -1, :, 0], f[:2].numpy(), rtol=0, atol=1e-12)
    path = tw.ntk.gradient_flow(kernel, cross, targets, times=[0, 1, math.inf])
    assert all(np.isfinite(path[name]).all() for name in ("loss", "train", "test"))


@pytest.mark.parametrize("given", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_many_steps_end_where_flow_ends(net: LinearNet, given: dict) -> None:
    end = tw.ntk.gradient_flow(**kernels(net), **starts(net), times=math.inf)
    far = tw.ntk.gradient_descent(**kernels(net), **starts(net), lr=1 / net.top, steps=10**9, **given)
    np.testing.assert_allclose(far["train"], end["train"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(far["test"], end["test"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("rule", RULES)
def test_one_kernel_for_all_outputs_is_a_kernel_of_equal_blocks(net: LinearNet, rule: str) -> None:
    shared = net.kernel[..., 0, 0], net.cross[..., 0, 0]
    blocks = [one[..., None, None] * torch.eye(C).double() for one in shared]
    given = {**RULES[rule], **starts(net), "targets": net.targets, "lr": 0.3 / net.top, "steps": [0, 3, 20]}
    one, other = (tw.ntk.gradient_descent(k, c, **given) for k, c in (shared, blocks))
    for name in ("train", "test", "loss"):
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-11)


def test_members_have_kernels_starts_and_rates_of_their_own() -> None:
    nets = [LinearNet(seed) for seed in (0, 1)]
    rates = [0.5 / one.top for one in nets]
    kernel, cross = torch.stack([one.kernel for one in nets]), torch.stack([one.cross for one in nets])
    start, start_test = torch.stack([n.start[:N] for n in nets]), torch.stack([n.start[N:] for n in nets])
    given = {"steps": [2, 9], "momentum": 0.6}
    both = tw.ntk.gradient_descent(
        kernel, cross, nets[0].targets, start=start, start_test=start_test, lr=rates, **given
    )
    for member, one in enumerate(nets):
        own = {"kernel": one.kernel, "cross": one.cross, "targets": nets[0].targets, **starts(one)}
        alone = tw.ntk.gradient_descent(**own, lr=rates[member], **given)
        np.testing.assert_allclose(both["test"][member], alone["test"][0], rtol=0, atol=1e-11)
        assert both.limit[member] == pytest.approx(alone.limit[0], rel=1e-12)
    shared = tw.ntk.gradient_descent(kernel[0], cross[0], nets[0].targets, start=start, lr=rates, **given)
    assert shared["train"].shape == (2, 2, N, C)


@pytest.mark.parametrize("given", [{}, {"momentum": 0.5}, {"momentum": 0.5, "nesterov": True}])
@pytest.mark.parametrize("share", [0.99, 1.01])
def test_the_limit_of_stability(net: LinearNet, given: dict, share: float) -> None:
    limit = tw.ntk.gradient_descent(**kernels(net), lr=0.1 / net.top, steps=1, **given).limit[0]
    path = tw.ntk.gradient_descent(**kernels(net), lr=share * limit, steps=[1000, 2000, 10**6], **given)
    assert (path["loss"][0, 1] > path["loss"][0, 0]) == (share > 1)
    assert not any(np.isnan(path[name]).any() for name in ("loss", "train", "test"))
    said = " ".join(path.reading.notes)
    assert ("limit of stability" in said) == ("diverge" in said) == (share > 1)


def test_a_figure_of_the_loss(net: LinearNet) -> None:
    path = tw.ntk.gradient_descent(**kernels(net), lr=1 / net.top, steps=[0, 5, 10])
    panel = path.figure().panels[0]
    assert panel.y.scale == "log"
    np.testing.assert_allclose(panel.marks[0].y, path["loss"][0])
    assert "1/2 sum" in path.figure().caption


EYE = torch.eye(3)
WRONG = [
    ({"kernel": torch.ones(3)}, r"A kernel is \(n, n\)"),
    ({"kernel": torch.ones(3, 2)}, "3 by 2 rows"),
    ({"kernel": torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]])}, "symmetric"),
    ({"kernel": torch.diag(torch.tensor([1.0, 1.0, -1.0]))}, "no negative eigenvalues"),
    ({"kernel": torch.full((3, 3), math.nan)}, "9 of 9 numbers that are not finite"),
    ({"cross": torch.ones(2, 4)}, "3 training examples"),
    ({"targets": torch.ones(4)}, r"targets is \(3, 1\)"),
    ({"start": torch.ones(3, 2)}, r"start is \(3, 1\)"),
    ({"start_test": torch.ones(3)}, "give cross"),
    ({"lr": -1.0}, "lr is a number of at least 0"),
    ({"lr": [0.1, 0.2], "start": torch.zeros(3, 3, 1)}, "2 learning rates for 3 members"),
    ({"momentum": 1.0}, "momentum is a number from 0 to below 1"),
    ({"nesterov": True}, "needs momentum"),
    ({"weight_decay": -0.1}, "weight_decay is a number at least 0"),
    ({"origin": torch.ones(3)}, "weight_decay above 0"),
    ({"steps": [3, 1]}, "ascend"),
    ({"steps": 1.5}, "whole numbers"),
    ({"loss": "sum"}, "by the loss .half_sum., .half_mean., .mean.; got .sum."),
    ({"schedule": 0.1}, "schedules.Cosine"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_makes_no_sense(change: dict, message: str) -> None:
    given = {"kernel": EYE, "cross": None, "targets": torch.ones(3), "lr": 0.1, "steps": 3}
    with pytest.raises(tw.UsageError, match=message):
        tw.ntk.gradient_descent(**{**given, **change})


def test_arrays_of_results_are_taken_as_they_are(net: LinearNet) -> None:
    first = tw.ntk.gradient_descent(**kernels(net), lr=0.1 / net.top, steps=5)
    second = tw.ntk.gradient_descent(
        **kernels(net), start=first["train"][:, 0], start_test=first["test"][:, 0], lr=0.1 * first.limit, steps=5
    )
    assert second["loss"][0, 0] < first["loss"][0, 0]


def test_a_recipe_trains_the_linearized_net_as_it_is_predicted(net: LinearNet) -> None:
    """The loss "squared_error" of a problem is the convention "mean", and schedules count steps as recipes do."""
    problem = tw.Problem(net.module, (net.inputs[:N], net.targets), "squared_error", dtype=torch.float64)
    schedule, lr = tw.schedules.Cosine(warmup=3, final=0.1), 0.3 * N * C / net.top
    recipe = tw.Recipe(tw.optim.Momentum(lr=lr, beta=0.6), steps=STEPS, batch_size=None, schedule=schedule)
    trained = tw.train(problem, recipe, seeds=1, progress=None).final.module(0)
    path = tw.ntk.gradient_descent(
        **kernels(net), **starts(net), lr=lr, steps=[STEPS], loss="mean", momentum=0.6, schedule=schedule
    )
    assert_outputs(path, trained(net.inputs).detach()[None])
