"""The limit of a module: identities, and changes that must not change it."""

import copy
import math

import modules_of_limits
import pytest
import torch
from modules_of_limits import STOCK, Written, drawn, multilayer
from torch import nn

import thalweg as tw


def exact(module: nn.Module, **options) -> tw.ntk.Infinite:
    return tw.ntk.infinite(module, dtype=torch.float64, progress=None, **options)


def test_distances_of_near_inputs_keep_their_digits_in_single_precision():
    """At depth 20 and noise 1e-4, where the classic form in float32 errs by more than 10."""
    x = drawn(1, 16)
    both = torch.cat([x, x + 1e-4 * torch.randn(1, 16, generator=torch.Generator().manual_seed(1))]).double()
    module = multilayer(*[nn.ReLU()] * 20, bias=False).double()
    distances = []
    for dtype in (torch.float32, torch.float64):
        k = tw.ntk.infinite(module, weight_std=2**0.5, dtype=dtype, progress=None).nngp(both)
        distances.append(float((k[0, 0] + k[1, 1]) / 2 - k[0, 1]))
    assert abs(distances[0] / distances[1] - 1) <= 5e-6


MADE = {
    "double": lambda m: copy.deepcopy(m).double(),
    "copy": copy.deepcopy,
    "identity": lambda m: nn.Sequential(nn.Identity(), *m[:2], nn.Identity(), *m[2:], nn.Identity()),
    "split": lambda m: nn.Sequential(m[:3], m[3:]),
    "names": lambda m: nn.Sequential(*[nn.Sequential(one) for one in m]),
}


@pytest.mark.parametrize("change", MADE)
@pytest.mark.parametrize("name", ["relu", "convolution, pooled"])
def test_what_changes_no_function_changes_no_kernel(name, change):
    torch.manual_seed(0)
    module, inputs = STOCK[name].make(), STOCK[name].inputs
    before = exact(module).kernels(inputs)
    other = inputs.double() if change == "double" else inputs
    after = exact(MADE[change](module)).kernels(other)
    torch.testing.assert_close(after.nngp, before.nngp, rtol=1e-12, atol=0)
    torch.testing.assert_close(after.ntk, before.ntk, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["relu", "norm behind", "convolution, pooled", "attention"])
def test_the_module_stays_as_it_is(name):
    stock = STOCK[name]
    module = stock.make()
    state, mode = copy.deepcopy(module.state_dict()), module.training
    random = torch.get_rng_state()
    tw.ntk.infinite(module, progress=None).ntk(stock.inputs)
    assert module.training == mode
    assert all(torch.equal(one, state[name]) for name, one in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(one.grad is None for one in module.parameters())


@pytest.mark.parametrize("name", ["relu", "norm behind", "concatenated", "convolution, pooled", "volumes", "encoder"])
def test_terms_of_the_layers_sum_to_the_whole(name):
    """A parameter that is frozen takes its own term from Theta, and nothing from K."""
    torch.manual_seed(0)
    stock = STOCK[name]
    module = stock.make()
    whole = exact(module, parameterization="as_initialized").kernels(stock.inputs)
    parameters = list(module.parameters())
    total = torch.zeros_like(whole.ntk)
    for chosen in parameters:
        for one in parameters:
            one.requires_grad_(one is chosen)
        alone = exact(module, parameterization="as_initialized").kernels(stock.inputs)
        torch.testing.assert_close(alone.nngp, whole.nngp, rtol=1e-12, atol=0)
        total += alone.ntk
    torch.testing.assert_close(total, whole.ntk, rtol=1e-9, atol=0)


def test_a_layer_more_is_the_dense_rule_on_what_came_before():
    x = drawn(4, 16)
    shallow = exact(multilayer(nn.ReLU(), nn.ReLU()), weight_std=1.3, bias_std=0.2).kernels(x)
    deep = exact(multilayer(nn.ReLU(), nn.ReLU(), nn.ReLU()), weight_std=1.3, bias_std=0.2).kernels(x)
    q = shallow.nngp.diagonal()
    distance = (q[:, None] + q) / 2 - shallow.nngp
    relu = tw.ntk.dual_of("relu", {})
    apart, slope = relu.pair(q[:, None], q[None], distance)
    kernel = 1.3**2 * ((q[:, None] + q) / 4 - apart) + 0.2**2
    torch.testing.assert_close(deep.nngp, kernel, rtol=1e-11, atol=0)
    torch.testing.assert_close(deep.ntk, kernel + 1.3**2 * slope * shallow.ntk, rtol=1e-7, atol=0)


def test_both_parameterizations_differ_by_the_fan_in():
    """Theta of one layer: x.x' / d + sigma_b^2 ("ntk"), and x.x' + 1 of the module itself."""
    x = drawn(3, 16).double()
    module = nn.Linear(16, 1).double()
    ntk = exact(module, weight_std=1.0, bias_std=0.5).ntk(x)
    torch.testing.assert_close(ntk, x @ x.T / 16 + 0.25, rtol=1e-12, atol=1e-14)
    standard = exact(module, weight_std=1.0, bias_std=0.5, parameterization="standard").ntk(x)
    torch.testing.assert_close(standard, x @ x.T + 1, rtol=1e-12, atol=1e-13)


def test_convolution_on_one_pixel_is_a_dense_layer():
    x = drawn(3, 16)
    conv_1 = nn.Sequential(
        nn.Conv2d(16, 64, 1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 1),
    )
    dense = exact(multilayer(nn.ReLU(), nn.ReLU(), width=64), weight_std=1.4, bias_std=0.1).kernels(x)
    pixel = exact(conv_1, weight_std=1.4, bias_std=0.1).kernels(x[:, :, None, None])
    torch.testing.assert_close(pixel.ntk, dense.ntk, rtol=1e-12, atol=0)


def test_shifts_of_the_image_are_not_seen_behind_circles_and_the_mean():
    limit = exact(
        nn.Sequential(
            nn.Conv2d(2, 64, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 1),
        )
    )
    x = drawn(2, 2, 6, 6)
    y = x.roll((1, 2), (2, 3))
    torch.testing.assert_close(limit.ntk(x, y), limit.ntk(x), rtol=1e-8, atol=0)


def test_half_of_the_pairs_are_all_pairs():
    for name in ("relu", "convolution, pooled", "norm behind", "embedding"):
        torch.manual_seed(0)
        stock = STOCK[name]
        limit = exact(stock.make())
        half, all_of_them = limit.kernels(stock.inputs), limit.kernels(stock.inputs, stock.inputs.clone())
        torch.testing.assert_close(half.nngp, all_of_them.nngp, rtol=1e-9, atol=0)
        torch.testing.assert_close(half.ntk, all_of_them.ntk, rtol=1e-6, atol=0)
        assert torch.equal(half.ntk, half.ntk.T)
        assert float(torch.linalg.eigvalsh(half.ntk).min()) > -1e-9 * float(half.ntk.max())


def test_tiles_change_nothing():
    for name, budget in (("relu", 5_000), ("convolution, pooled", 100_000)):
        stock = STOCK[name]
        torch.manual_seed(0)
        module = stock.make()
        inputs = torch.cat([stock.inputs * factor for factor in (1.0, 0.5, -1.0, 2.0)])
        whole = exact(module).kernels(inputs, inputs.flip(0))
        tiles = []
        limit = tw.ntk.infinite(module, dtype=torch.float64, memory_budget=budget, progress=tiles.append)
        found = limit.kernels(inputs, inputs.flip(0))
        assert len(tiles) > 1
        torch.testing.assert_close(found.ntk, whole.ntk, rtol=1e-7, atol=0)


def test_a_pair_that_does_not_fit_is_refused():
    limit = tw.ntk.infinite(STOCK["convolution, pooled"].make(), memory_budget=1_000)
    with pytest.raises(tw.UsageError, match=r"One pair of inputs needs .* memory_budget"):
        limit.ntk(modules_of_limits.IMAGES)


def test_the_condition_number_tends_to_a_third_of_n_plus_one():
    """Critical ReLU without biases, inputs of equal norm: (n + 3) / 3 within 1 % at depth 3,000, n = 20."""
    x = drawn(20, 20).double()
    x = x / x.norm(dim=1, keepdim=True) * math.sqrt(20)
    relu = tw.ntk.dual_of("relu", {})
    shallow = exact(multilayer(*[nn.ReLU()] * 30, inputs=20, width=64, bias=False).double(), weight_std=2**0.5)
    q, distance, theta = torch.ones(20, 1).double() * 2, None, None
    kernel = 2 * x @ x.T / 20
    distance, theta = 2 - kernel, kernel
    distance.fill_diagonal_(0)
    for depth in range(3_000):
        apart, slope = relu.pair(q, q.T, distance)
        distance, theta = 2 * apart, 2 * slope * theta
        theta = theta + 2 - distance
        if depth == 29:
            torch.testing.assert_close(shallow.ntk(x), theta, rtol=1e-7, atol=0)
    values = torch.linalg.eigvalsh(theta)
    assert abs(float(values[-1] / values[0]) / (23 / 3) - 1) < 0.01


def test_homogeneous_networks_scale():
    torch.manual_seed(0)
    limit = exact(multilayer(*[nn.ReLU()] * 20, bias=False), weight_std=2**0.5)
    x = drawn(3, 16)
    torch.testing.assert_close(limit.nngp(2 * x), 4 * limit.nngp(x), rtol=1e-11, atol=0)


def test_two_kinds_of_gelu_differ():
    x = drawn(3, 16)
    one, other = (exact(multilayer(nn.GELU(approximate=kind)), weight_std=2.0).nngp(x) for kind in ("none", "tanh"))
    assert 1e-6 < float((one - other).abs().max()) < 1e-2


def test_what_is_to_be_said_is_said():
    limit = tw.ntk.infinite(tw.nets.mlp(16, 16, 1), progress=None)
    x = drawn(3, 16)
    notes = limit.kernels(100 * torch.cat([x, x[:1]])).reading.notes
    assert any("not scaled" in one for one in notes)
    assert any("1 of 4 inputs are the same as an earlier one" in one for one in notes)
    assert any("16 channels" in one for one in notes)
    assert limit.kernels(x).reading.provenance.dtype == "float32"


def test_zero_inputs_and_one_input():
    limit = tw.ntk.infinite(multilayer(nn.ReLU(), nn.ReLU(), bias=False), progress=None)
    x = torch.cat([torch.zeros(1, 16), drawn(2, 16)])
    found = limit.kernels(x)
    assert bool(found.ntk.isfinite().all())
    assert float(found.nngp[0].abs().max()) < 1e-7 * float(found.nngp[1, 1])
    torch.testing.assert_close(limit.ntk(x[1:2]), found.ntk[1:2, 1:2])


def test_a_network_in_ntk_parameterization_is_read_as_it_is():
    """Weights N(0, 1), times numbers in the forward pass: both readings agree."""
    width = 128
    w1, w2, b = (nn.Parameter(torch.randn(*shape)) for shape in ((width, 16), (width, 1), (width,)))

    def forward(m, x):
        return width**-0.5 * torch.tanh(1.5 / 4 * nn.functional.linear(x, m.w1) + 0.1 * m.b) @ m.w2

    module = Written(forward, w1=w1, w2=w2, b=b)
    x = drawn(3, 16)
    given = {"weight_std": {"0": 1.5, "2": 1.0}, "bias_std": {"0": 0.1}}
    plain = nn.Sequential(nn.Linear(16, width), nn.Tanh(), nn.Linear(width, 1, bias=False))
    expected = exact(plain, **given).kernels(x)
    for reading in ("ntk", "as_initialized"):
        found = exact(module, parameterization=reading).kernels(x)
        torch.testing.assert_close(found.ntk, expected.ntk, rtol=1e-9, atol=0)
        torch.testing.assert_close(found.nngp, expected.nngp, rtol=1e-9, atol=0)


def test_rows_of_padding_are_zero():
    """Tokens 0 add nothing, in K and in Theta."""
    torch.manual_seed(0)
    module = Written(
        lambda m, x: m.last(m.table(x).mean(1)), table=nn.Embedding(7, 64, padding_idx=0), last=nn.Linear(64, 1)
    )
    limit = exact(module, parameterization="as_initialized", bias_std=0.0)
    found = limit.kernels(torch.tensor([[1, 2], [1, 0], [0, 0]]))
    torch.testing.assert_close(found.nngp * 3, torch.tensor([[0.5, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0]]).double())
    expected = 64 * 3 * found.nngp + 1 + found.nngp  # readout, bias, table
    torch.testing.assert_close(found.ntk, expected)


def test_functions_written_out_are_those_of_torch():
    x = drawn(3, 16)
    written = Written(
        lambda m, x: m.last((h := m.first(x)) * torch.sigmoid(h)), first=nn.Linear(16, 64), last=nn.Linear(64, 1)
    )
    one, other = (
        exact(module, weight_std=1.5, bias_std=0.1).kernels(x) for module in (written, multilayer(nn.SiLU(), width=64))
    )
    torch.testing.assert_close(one.ntk, other.ntk, rtol=1e-9, atol=0)
    assert 0 < other.activation_error < 1e-10


def test_the_error_is_that_of_single_activations_and_said_where_it_is_large():
    """Of a kink in the curvature, and of a smooth function."""
    x = drawn(3, 16)
    torch.manual_seed(0)
    bent, smooth = (exact(multilayer(one, width=64)).kernels(x) for one in (nn.SELU(), nn.Tanh()))
    assert bent.activation_error > 1e-6
    assert any("leaves up to" in note for note in bent.reading.notes)
    assert 0 < smooth.activation_error < 1e-9
    assert not any("leaves up to" in note for note in smooth.reading.notes)


def test_a_centered_network_has_the_tangent_kernel_of_its_network_and_begins_at_zero():
    x = drawn(3, 16)
    torch.manual_seed(0)
    network = multilayer(nn.ReLU(), width=64)
    for given in ({"parameterization": "as_initialized"}, {"weight_std": {"0": 1.5, "2": 1.0}, "bias_std": 0.1}):
        found, plain = (exact(one, **given).kernels(x) for one in (tw.nets.centered(network), network))
        torch.testing.assert_close(found.ntk, plain.ntk, rtol=1e-12, atol=0)
        assert float(found.nngp.abs().max()) == 0 < float(plain.nngp.min())
        assert "The network is centered: its outputs are 0 at the start, and so is K." in found.reading.notes
    made = exact(lambda: tw.nets.centered(multilayer(nn.ReLU(), width=64))).kernels(x)
    torch.testing.assert_close(made.ntk, exact(lambda: multilayer(nn.ReLU(), width=64)).ntk(x), rtol=1e-12, atol=0)
    assert float(made.nngp.abs().max()) == 0
    inside = nn.Sequential(tw.nets.centered(network), nn.Linear(1, 1))
    with pytest.raises(tw.ModelError, match=r"pass nets.centered\(network\) alone"):
        tw.ntk.infinite(inside, progress=None).ntk(x)


class Heads(nn.Module):
    """Attention whose scores are divided by the head size; keys are the queries, or have weights of their own."""

    def __init__(self, score, heads: int = 64, size: int = 64, *, tied: bool = True) -> None:
        super().__init__()
        self.q, self.v, self.o = nn.Linear(6, heads * size), nn.Linear(6, heads * size), nn.Linear(heads * size, 64)
        self.k = self.q if tied else nn.Linear(6, heads * size)
        self.last, self.heads, self.score, self.tied = nn.Linear(64, 1), heads, score, tied

    def forward(self, x):
        q, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.v))
        k = q if self.tied else self.k(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = self.score(q @ k.transpose(-1, -2) / q.shape[-1])
        return self.last(self.o((scores @ v).transpose(1, 2).flatten(2)).mean(1))


@pytest.mark.parametrize("name", ["relu", "tanh", "softmax", "themselves"])
def test_scores_divided_by_the_head_size_do_not_fluctuate(name):
    """Their weights are a function of the kernel of the tokens; queries and keys add nothing to Theta."""
    functions = {"relu": torch.relu, "tanh": torch.tanh, "softmax": lambda s: s.softmax(-1), "themselves": lambda s: s}
    x = drawn(3, 4, 6)
    torch.manual_seed(0)
    found = exact(Heads(functions[name]), weight_std=1.3, bias_std=0.0).kernels(x)
    tokens = 1.3**2 * torch.einsum("nid,mjd->nmij", x.double(), x.double()) / 6
    weights = functions[name](tokens.diagonal(dim1=0, dim2=1).permute(2, 0, 1))
    kernel = 1.3**4 * (weights[:, None] @ tokens @ weights[None].mT).mean((2, 3))
    torch.testing.assert_close(found.nngp, kernel, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.ntk, 3 * kernel, rtol=1e-6, atol=1e-9)


def test_finite_heads_with_relu_of_such_scores_have_that_mean():
    x = drawn(2, 3, 6)
    torch.manual_seed(0)
    limit = exact(Heads(torch.relu), parameterization="as_initialized").nngp(x)
    outputs = torch.stack([Heads(torch.relu, 32, 32)(x).detach()[:, 0].double() for _ in range(600)])
    products = outputs[:, :, None] * outputs[:, None, :]
    apart = (products.mean(0) - limit).abs() - 0.05 * limit.abs().max()
    assert float((apart / (products.std(0) / 600**0.5)).max()) < 4


def test_scores_of_other_keys_vanish():
    x = drawn(3, 4, 6)
    torch.manual_seed(0)
    uniform = exact(Heads(torch.sigmoid, tied=False), weight_std=1.3, bias_std=0.0).kernels(x)
    tokens = 1.3**2 * torch.einsum("nid,mjd->nmij", x.double(), x.double()) / 6
    torch.testing.assert_close(uniform.nngp, 1.3**4 * tokens.sum((2, 3)) / 4, rtol=1e-9, atol=1e-12)
    with pytest.raises(tw.ModelError, match="so that they vanish as heads grow"):
        exact(Heads(torch.relu, tied=False)).ntk(x)


def test_a_branch_of_zero_adds_nothing():
    x = drawn(3, 16)
    plain = exact(multilayer(nn.ReLU(), width=64), weight_std=1.4, bias_std=0.1).kernels(x)
    module = Written(
        lambda m, x: m.last(torch.relu(m.first(x) + m.other(x))),
        first=nn.Linear(16, 64),
        other=nn.Linear(16, 64),
        last=nn.Linear(64, 1),
    )
    for one in module.other.parameters():
        one.requires_grad_(False)
    given = {
        "weight_std": {"first": 1.4, "last": 1.4, "other": 0.0},
        "bias_std": {"first": 0.1, "last": 0.1, "other": 0.0},
    }
    found = exact(module, **given).kernels(x)
    torch.testing.assert_close(found.ntk, plain.ntk, rtol=1e-12, atol=0)


def test_tokens_in_another_order_are_not_seen_by_attention():
    torch.manual_seed(0)
    stock = STOCK["attention"]
    limit = tw.ntk.infinite(stock.make(), weight_std=1.0, bias_std=0.0, progress=None)
    found, other = limit.kernels(stock.inputs), limit.kernels(stock.inputs.flip(1))
    torch.testing.assert_close(other.ntk, found.ntk, rtol=1e-2, atol=0)


def test_one_token_is_picked():
    """The kernel of a net that reads out its first token is that of a net on this token."""
    x = drawn(3, 5, 16)
    module = Written(lambda m, x: m.last(torch.relu(m.first(x))[:, 1]), first=nn.Linear(16, 64), last=nn.Linear(64, 1))
    some = Written(
        lambda m, x: m.last(torch.relu(m.first(x))[:, 1:3].mean(1)), first=nn.Linear(16, 64), last=nn.Linear(64, 1)
    )
    given = {"weight_std": 1.4, "bias_std": 0.1}
    token = exact(multilayer(nn.ReLU(), width=64), **given).kernels(x[:, 1])
    torch.testing.assert_close(exact(module, **given).ntk(x), token.ntk, rtol=1e-12, atol=0)
    alike = x[:, 1:2].expand(3, 5, 16)
    torch.testing.assert_close(exact(some, **given).ntk(alike), token.ntk, rtol=1e-7, atol=0)
