"""Every net: sizes by formula, and the transforms of torch.func that a population needs."""

import copy
import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg import nets
from thalweg.errors import UsageError

TOKENS = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1], [4, 1, 3, 0]])
MODULAR = torch.tensor([[0, 3, 5], [4, 1, 5], [2, 2, 5]])
IMAGES = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ROWS = IMAGES.flatten(1)[:, :40]

CASES = {
    "mlp": (lambda: nets.mlp(40, 7, 5, 3), ROWS, (3, 3)),
    "mlp-gelu": (lambda: nets.mlp(40, 7, 3, activation="gelu", bias=False), ROWS, (3, 3)),
    "ntk-mlp": (lambda: nets.ntk_mlp(40, 7, 5, 3, activation="erf"), ROWS, (3, 3)),
    "convnet": (lambda: nets.convnet((3, 4), 3, (1, 8, 8)), IMAGES, (3, 3)),
    "convnet1d": (lambda: nets.convnet1d(4, 3, 40), ROWS, (3, 3)),
    "signal-convnet": (lambda: nets.signal_convnet(4, 3, 40, strides=(2, 1)), ROWS, (3, 3)),
    "resnet-batch": (lambda: nets.resnet(4, 1, 3, norm="batch"), IMAGES, (3, 3)),
    "resnet-group": (lambda: nets.resnet(8, 2, 3, norm="group"), IMAGES, (3, 3)),
    "transformer-pre": (lambda: nets.transformer(5, 6, 8, 2, 2, norm="pre"), TOKENS, (3, 4, 5)),
    "transformer-post": (lambda: nets.transformer(5, 4, 8, 2, 2, norm="post", tied=True), TOKENS, (3, 4, 5)),
    "modular-mlp": (lambda: nets.modular_mlp(5, 8), MODULAR, (3, 5)),
    "modular": (lambda: nets.modular_transformer(5, 8, 2), MODULAR, (3, 5)),
}
every_net = pytest.mark.parametrize("name", CASES)


def built(name: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CASES[name][0]().double().train()


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def named_copies(net: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    return parameters, {name: buffer.clone() for name, buffer in net.named_buffers()}


@every_net
def test_shape(name: str) -> None:
    _, inputs, shape = CASES[name]
    assert built(name)(inputs).shape == shape


@every_net
def test_output_is_the_last_layer_with_weights(name: str) -> None:
    net = built(name)
    linear = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)]
    assert linear[-1] == "output"
    assert net.output.out_features == CASES[name][2][-1]
    first = nn.Linear(net.output.in_features, net.output.out_features, bias=False, dtype=torch.float64)
    nn.init.zeros_(first.weight)
    net.output = first
    assert not net(CASES[name][1]).any()


@every_net
def test_stacked_members_equal_a_loop(name: str) -> None:
    """Also the running statistics of BatchNorm in training mode, which vmap must keep apart."""
    members = [built(name, seed) for seed in range(3)]
    template = copy.deepcopy(members[0])
    parameters, buffers = stack_module_state(members)
    parameters = {key: value.detach() for key, value in parameters.items()}
    tied = len(list(template.named_parameters(remove_duplicate=False))) > len(parameters)
    assert tied == (name == "transformer-post")
    inputs = CASES[name][1]

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(template, (parameters, buffers), (x,))

    with sdpa_kernel(SDPBackend.MATH):
        stacked = vmap(one, in_dims=(0, 0, None))(parameters, buffers, inputs)
    looped = torch.stack([member(inputs) for member in members])
    torch.testing.assert_close(stacked, looped, rtol=0, atol=1e-10)
    assert (looped[0] - looped[1]).abs().max() > 1e-3
    for key, buffer in buffers.items():
        expected = torch.stack([member.get_buffer(key) for member in members])
        torch.testing.assert_close(buffer, expected, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, inside jvp
@every_net
def test_stacked_hessian_vector_products_equal_double_backward_one_by_one(name: str) -> None:
    members = [built(name, seed) for seed in range(2)]
    template = copy.deepcopy(members[0])
    inputs = CASES[name][1]
    draw = torch.Generator().manual_seed(1)
    weights = torch.randn(members[0](inputs).shape, generator=draw, dtype=torch.float64)

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        buffers = {key: buffer.clone() for key, buffer in buffers.items()}  # BatchNorm updates them in place
        return (functional_call(template, (parameters, buffers), (inputs,)) * weights).sin().mean()

    def product(parameters: dict[str, Tensor], buffers: dict[str, Tensor], v: dict[str, Tensor]) -> Tensor:
        return jvp(lambda p: grad(loss)(p, buffers), (parameters,), (v,))[1]

    states = [named_copies(member) for member in members]
    parameters, buffers = (
        {key: torch.stack([state[part][key] for state in states]) for key in states[0][part]} for part in (0, 1)
    )
    vectors = {key: torch.randn(p.shape, generator=draw, dtype=torch.float64) for key, p in parameters.items()}
    with sdpa_kernel(SDPBackend.MATH):
        stacked = vmap(product)(parameters, buffers, vectors)
        for number, member in enumerate(members):
            names, leaves = zip(*member.named_parameters(), strict=True)
            first = torch.autograd.grad((member(inputs) * weights).sin().mean(), leaves, create_graph=True)
            along = sum((g * vectors[key][number]).sum() for key, g in zip(names, first, strict=True))
            second = torch.autograd.grad(along, leaves, allow_unused=True)
            for key, expected in zip(names, second, strict=True):
                got = stacked[key][number]
                expected = torch.zeros_like(got) if expected is None else expected
                torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
def test_mlp_parameters(bias: bool) -> None:
    widths = (64, 32, 16, 10)
    expected = sum((a + bias) * b for a, b in pairwise(widths))
    assert count(nets.mlp(*widths, bias=bias)) == expected


def test_mlp_is_its_formula() -> None:
    net = nets.mlp(5, 4, 3, activation="square").double()
    x = torch.randn(6, 5, dtype=torch.float64)
    hidden = (x @ net.hidden1.weight.T + net.hidden1.bias) ** 2
    torch.testing.assert_close(net(x), hidden @ net.output.weight.T + net.output.bias)


def test_convnet_parameters() -> None:
    assert count(nets.convnet((16, 32), 10, (1, 8, 8))) == 16 * 10 + 32 * (16 * 9 + 1) + (32 * 4 + 1) * 10
    assert count(nets.convnet((6,), 10, (3, 9, 7))) == 6 * 28 + (6 * 4 * 3 + 1) * 10


def test_a_signal_convnet_has_as_many_convolutions_as_strides_and_the_scale_it_is_given() -> None:
    c, k = 6, 3
    net = nets.signal_convnet(c, 4, 12, strides=(2, 1, 3), kernel=k, scale=0.5)
    assert count(net) == c * k + 2 * c * c * k + 3 * 2 * c + (c + 1) * 4
    assert net[:-3](torch.zeros(2, 12)).shape == (2, c, 2)  # 12, 6, 6, 2
    assert {float(m.weight.detach().unique()) for m in net.modules() if isinstance(m, nn.BatchNorm1d)} == {0.5}
    wide = nets.signal_convnet(200)
    assert abs(float(wide.convolution2.weight.detach().std()) - (2 / (200 * 5)) ** 0.5) < 1e-3


def test_convnet1d_has_the_published_number_of_parameters() -> None:
    assert count(nets.convnet1d()) == 5_210
    assert nets.convnet1d(4, 3, 11)(torch.zeros(2, 11)).shape == (2, 3)


def test_resnet_parameters() -> None:
    w = 16
    body = lambda a, b: 9 * (a * b + b * b) + 4 * b  # noqa: E731
    shortcut = lambda a, b: a * b + 2 * b  # noqa: E731
    expected = 9 * w + 2 * w + body(w, w) + body(w, 2 * w) + shortcut(w, 2 * w)
    expected += body(2 * w, 4 * w) + shortcut(2 * w, 4 * w) + (4 * w + 1) * 10
    assert count(nets.resnet(w)) == count(nets.resnet(w, norm="group")) == expected


def test_resnet_20_convolutions_and_linear_layers() -> None:
    weights = [m for m in nets.resnet(16, 3).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len([m for m in weights if getattr(m, "kernel_size", None) != (1, 1)]) == 20


def test_resnet_convolutions_start_with_the_variance_of_he() -> None:
    torch.manual_seed(0)
    weight = nets.resnet(64).stages[2][0].convolution2.weight.detach()
    variances = weight.pow(2).mean() * weight.shape[0] * 9 / 2
    assert abs(float(variances) - 1) < 5 * (2 / weight.numel()) ** 0.5


def test_group_norm_examples_do_not_see_each_other_and_batch_norm_examples_do() -> None:
    images = torch.randn(4, 1, 8, 8)
    for norm, alone in (("group", True), ("batch", False)):
        net = nets.resnet(8, norm=norm)
        assert torch.allclose(net(images)[:2], net(images[:2]), atol=1e-5) == alone


def test_stem_image_sizes() -> None:
    assert nets.resnet(8, 1, 5, (3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


IMPOSSIBLE = [
    (lambda: nets.mlp(10), "input and of its output"),
    (lambda: nets.mlp(10, 0, 3), r"widths\[1\].*got 0"),
    (lambda: nets.mlp(10, 2.5, 3), r"widths\[1\].*got 2.5"),
    (lambda: nets.mlp(10, 5, 3, activation="rleu"), "Did you mean 'relu'"),
    (lambda: nets.ntk_mlp(10), "input and of its output"),
    (lambda: nets.ntk_mlp(10, 0, 3), r"widths\[1\].*got 0"),
    (lambda: nets.ntk_mlp(10, 5, 3, bias_std=-1), "bias_std to be a number of at least 0.*got -1"),
    (lambda: nets.ntk_mlp(10, 5, 3, weight_std=float("nan")), "weight_std.*got nan"),
    (lambda: nets.ntk_mlp(10, 5, 3, activation="rleu"), "Did you mean 'relu'"),
    (lambda: nets.convnet((4, 4, 4, 4)), r"8x8 can be halved 3 times"),
    (lambda: nets.convnet(()), "at least one stage"),
    (lambda: nets.signal_convnet(kernel=4), "an odd kernel"),
    (lambda: nets.signal_convnet(strides=()), "at least one convolution"),
    (lambda: nets.signal_convnet(scale=0), "a positive scale"),
    (lambda: nets.convnet1d(length=2), "at least 3 points"),
    (lambda: nets.resnet(image=(1, 3, 8)), "at least 4x4"),
    (lambda: nets.resnet(12, norm="group"), "try width=16"),
    (lambda: nets.resnet(norm="layer"), "no norm 'layer'"),
    (lambda: nets.transformer(5, 4, width=10, heads=4), "4 heads do not divide width=10; try 12"),
    (lambda: nets.transformer(5, 0), "context.*got 0"),
    (lambda: nets.transformer(5, 4, norm="none"), "Known: post, pre"),
    (lambda: nets.transformer(5, 4, dropout=1.0), "dropout.*got 1.0"),
    (lambda: nets.modular_transformer(7, width=9, heads=2), "try 10"),
]


@pytest.mark.parametrize(("build", "message"), IMPOSSIBLE, ids=[message for _, message in IMPOSSIBLE])
def test_impossible_sizes(build, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_cross_entropy_at_the_start_is_near_chance() -> None:
    """A start far above log(vocabulary) would be a wrong scale somewhere."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 100, (16, 32))
    for net in (nets.transformer(100, 32, tied=tied, norm=n) for tied in (True, False) for n in ("pre", "post")):
        loss = F.cross_entropy(net(tokens).flatten(0, 1), torch.randint(0, 100, (512,)))
        assert loss.item() < math.log(100) + 1
