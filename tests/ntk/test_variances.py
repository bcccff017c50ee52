"""Variances of parameters: given, declared, recognized, measured, or refused."""

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.ntk.variances import Moments
from thalweg.randomness import global_stream


def rows(module, x, **options) -> dict[str, tuple]:
    limit = tw.ntk.infinite(module, progress=None, **options)
    limit.nngp(x)
    return {row[0]: row[1:] for row in limit.variances.rows}


def seeded(make, seed: int = 0):
    with global_stream(seed, "test"):
        return make()


X = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))


def test_torch_draws_weights_and_biases_of_a_third_over_the_fan_in():
    found = rows(seeded(lambda: tw.nets.mlp(16, 128, 1)), X)
    assert found["hidden1.weight"][:3] == (16, pytest.approx(1 / 3), "Linear.reset_parameters")
    assert found["hidden1.bias"][1] == pytest.approx(1 / 48)
    assert found["output.weight"][1] == pytest.approx(1 / 3)
    assert all(abs(row[3]) < 4 for row in found.values())


def test_given_ones_are_taken_by_name_and_by_number():
    module = tw.nets.mlp(16, 128, 1)
    found = rows(module, X, weight_std={"hidden1": 2.0, "output.weight": 3.0}, bias_std=0.5)
    assert found["hidden1.weight"][1:3] == (4.0, "given")
    assert found["output.weight"][1] == 9.0
    assert found["output.bias"][1] == 0.25


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("He", lambda w: nn.init.kaiming_normal_(w), 2.0),
        ("He", lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), 2.0),
        ("LeCun", lambda w: nn.init.normal_(w, std=w.shape[1] ** -0.5), 1.0),
        ("normal, 0.02", lambda w: nn.init.trunc_normal_(w, std=0.02), 128 * 0.02**2),
        ("standard normal", lambda w: nn.init.normal_(w), 128.0),
    ],
)
def test_initializations_in_use_are_recognized(name, start, expected):
    def make():
        module = tw.nets.mlp(16, 128, 256, 1)
        start(module.hidden2.weight)
        return module

    found = rows(seeded(make), X)["hidden2.weight"]
    assert found[2] == f"recognized: {name}"
    assert found[1] == pytest.approx(expected)


def test_orthogonal_weights_and_zero_biases_are_recognized():
    def make():
        module = tw.nets.mlp(16, 128, 128, 1)
        nn.init.orthogonal_(module.hidden2.weight)
        nn.init.zeros_(module.hidden2.bias)
        return module

    found = rows(seeded(make), X)
    assert found["hidden2.weight"][1] == pytest.approx(1.0)
    assert found["hidden2.bias"][1:3] == (0.0, "zero")


def test_what_is_none_of_these_is_measured():
    def make():
        module = tw.nets.mlp(16, 128, 128, 1)
        nn.init.normal_(module.hidden2.weight, std=0.3)
        return module

    found = rows(seeded(make), X)["hidden2.weight"]
    assert found[2] == "measured, of the tensor"
    assert found[1] == pytest.approx(128 * 0.09, rel=0.05)


def test_a_function_declares_by_several_constructions():
    def make():
        module = tw.nets.mlp(16, 128, 1)
        nn.init.normal_(module.output.weight, std=0.3)
        return module

    state = torch.get_rng_state()
    found = rows(make, X)
    assert torch.equal(torch.get_rng_state(), state)
    assert found["hidden1.weight"][1] == pytest.approx(1 / 3)
    assert found["output.weight"][2] == "measured, of several constructions"
    assert found["output.weight"][1] == pytest.approx(128 * 0.09, rel=0.15)


def test_default_modules_are_not_taken_for_trained_ones():
    """Of 60 draws of four shapes each: none is refused, and hardly any is not read as torch's default."""
    makes = [
        lambda: nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
        lambda: nn.Linear(16, 3),
        lambda: nn.Linear(16, 300),
        lambda: nn.Sequential(nn.Linear(16, 500), nn.ReLU(), nn.Linear(500, 2)),
    ]
    other = 0
    for seed in range(60):
        for make in makes:
            module = seeded(make, seed)
            moments = Moments(module)
            for name, one in module.named_parameters():
                fan = dict(module.named_parameters())[name.replace("bias", "weight")].shape[1]
                moments.weight(name, fan) if one.dim() > 1 else moments.bias(name, fan)
            other += sum("reset_parameters" not in one.source for one in moments.found.values())
    assert other <= 2


def trained(steps: int) -> nn.Module:
    module = tw.nets.mlp(16, 64, 64, 2)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    x = torch.randn(256, 16)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), (x[:, 0] * x[:, 1] > 0).long()).backward()
        optimizer.step()
    return module


def test_a_trained_module_is_refused_unless_variances_are_given():
    module = seeded(lambda: trained(100))
    with pytest.raises(tw.ModelError, match=r"looks trained: .* pass weight_std="):
        tw.ntk.infinite(module, progress=None).ntk(X)
    tw.ntk.infinite(module, weight_std=1.0, bias_std=0.1, progress=None).ntk(X)


def test_zero_weights_and_weights_that_are_not_finite_are_refused():
    module = tw.nets.mlp(16, 64, 1)
    nn.init.zeros_(module.output.weight)
    with pytest.raises(tw.ModelError, match=r"'output.weight' are zero"):
        tw.ntk.infinite(module, progress=None).ntk(X)
    nn.init.constant_(module.output.weight, float("nan"))
    with pytest.raises(tw.ModelError, match="not finite"):
        tw.ntk.infinite(module, progress=None).ntk(X)


def test_arguments_that_make_no_sense():
    module = tw.nets.mlp(16, 64, 1)
    with pytest.raises(
        tw.UsageError, match=r"There is no module or tensor of weight_std 'hiden1'. Did you mean 'hidden1'"
    ):
        tw.ntk.infinite(module, weight_std={"hiden1": 1.0})
    with pytest.raises(tw.UsageError, match=r"finite and not negative; got -1"):
        tw.ntk.infinite(module, bias_std=-1.0)
    with pytest.raises(tw.UsageError, match="parameterization is one of"):
        tw.ntk.infinite(module, parameterization="mup")
    with pytest.raises(tw.UsageError, match=r"dtype is torch.float32 or torch.float64"):
        tw.ntk.infinite(module, dtype=torch.float16)
    with pytest.raises(tw.UsageError):
        tw.ntk.infinite(3)
    with pytest.raises(tw.UsageError):
        tw.ntk.infinite(lambda: 3)
