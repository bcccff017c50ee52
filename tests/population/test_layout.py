from collections.abc import Callable

import pytest
import torch
from cases import CASE, CASES, Case, every
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import register_parametrization

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.population import Layout
from thalweg.population.layout import same_layout


@every(CASES)
def test_columns_are_the_trained_parameters_in_order(case: Case) -> None:
    module = case.model()
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    layout = Layout.of(module)
    assert [(entry.name, entry.shape) for entry in layout] == [(name, tuple(p.shape)) for name, p in trained]
    assert layout.parameters == sum(p.numel() for _, p in trained)
    theta = torch.nn.utils.parameters_to_vector([p for _, p in trained])
    for (name, p), entry in zip(trained, layout, strict=True):
        assert torch.equal(theta[entry.columns], p.flatten()), name


@every(CASES)
def test_views_and_pack_are_inverse_under_any_leading_dimensions(case: Case) -> None:
    layout = Layout.of(case.model())
    for lead in ((), (3,), (2, 3)):
        theta = torch.randn(*lead, layout.parameters)
        assert torch.equal(layout.pack(layout.views(theta)), theta)


def test_views_share_memory_with_theta_also_in_a_part_of_its_rows() -> None:
    layout = Layout.of(CASE["mlp"].model())
    theta = torch.zeros(4, layout.parameters)
    layout.views(theta[1:3])["2.bias"][1] = torch.tensor([1.0, 2.0, 3.0])
    assert theta.nonzero()[:, 0].tolist() == [2, 2, 2]
    assert theta[2, layout["2.bias"].columns].tolist() == [1, 2, 3]


def test_a_number_is_a_view_too() -> None:
    layout = Layout.of(CASE["number"].model())
    theta = torch.zeros(layout.parameters)
    assert layout["scale"].shape == ()
    layout.views(theta)["scale"].fill_(2)
    assert theta[layout["scale"].columns].tolist() == [2]
    assert theta.count_nonzero() == 1


def test_tied_tensors_are_one_entry_under_all_their_names() -> None:
    layout = Layout.of(CASE["tied"].model())
    assert layout["embed.weight"].ties == ("out.weight",)
    assert layout["out.weight"] is layout["embed.weight"]
    assert layout.parameters == 5 * 4 + 4 * 4 + 4


def test_frozen_parameters_are_no_columns() -> None:
    assert [entry.name for entry in Layout.of(CASE["frozen"].model())] == ["head.weight", "head.bias"]


def test_kinds() -> None:
    kinds = {entry.name: entry.kind for entry in Layout.of(CASE["attention"].model())}
    assert kinds == {
        "embed.weight": "embedding",
        "norm.weight": "norm",
        "norm.bias": "norm",
        "attend.in_proj_weight": "hidden",
        "attend.in_proj_bias": "bias",
        "attend.out_proj.weight": "hidden",
        "attend.out_proj.bias": "bias",
        "out.weight": "output",
        "out.bias": "bias",
    }
    convolutional = Layout.of(CASE["batchnorm"].model())
    assert [entry.kind for entry in convolutional] == ["hidden", "bias", "norm", "norm", "output", "bias"]
    assert [entry.filters for entry in convolutional] == [3, None, None, None, 3, None]


@every(CASES)
def test_every_entry_knows_its_module(case: Case) -> None:
    module = case.model()
    for entry in Layout.of(module):
        assert getattr(module.get_submodule(entry.module), entry.name.rpartition(".")[2]) is not None
        assert entry.name.rpartition(".")[0] == entry.module


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(4, 6), nn.Conv2d(4, 6, (3, 2), groups=2)
        self.signal, self.up = nn.Conv1d(4, 6, 5, bias=False), nn.ConvTranspose2d(4, 6, 3, groups=2)
        self.attend, self.apart = nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.embed, self.norm, self.own = nn.Embedding(4, 6), nn.LayerNorm(6), nn.Parameter(torch.zeros(4, 6))
        self.pair, self.cell = nn.Bilinear(3, 4, 6), nn.GRU(3, 4)


def test_fan_in_is_that_of_torchs_initialization() -> None:
    module = Layers()
    found = {entry.name: entry.fan_in for entry in Layout.of(module)}
    for name in ("linear", "conv", "signal", "up", "attend.out_proj"):
        weight = module.get_submodule(name).weight
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(weight)
        assert found[f"{name}.weight"] == fan_in, name
        assert found.get(f"{name}.bias", fan_in) == (None if "attend" in name else fan_in)
        if "attend" not in name:  # torch draws within +-1/sqrt(fan_in), and nearly fills it
            draws = [getattr(Layers(), name).weight.detach().abs().max() for _ in range(20)]
            bound = float(torch.stack(draws).max())
            assert 0.97 < bound * fan_in**0.5 <= 1
    assert (found["attend.in_proj_weight"], found["attend.in_proj_bias"]) == (4, None)  # biases are zero
    assert [found[f"apart.{letter}_proj_weight"] for letter in "qkv"] == [4, 3, 5]
    assert [found[f"pair.{leaf}"] for leaf in ("weight", "bias")] == [3, 3]
    assert {found[name] for name in ("embed.weight", "norm.weight", "norm.bias", "own")} == {None}


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.LSTM(4, 70, num_layers=2, bidirectional=True, proj_size=30),
        lambda: nn.GRU(90, 70),
        lambda: nn.RNN(4, 70, bias=False),
        lambda: nn.LSTMCell(4, 70),
        lambda: nn.RNNCell(90, 70),
    ],
)
def test_fan_in_of_recurrent_layers_is_the_hidden_size(build: Callable[[], nn.Module]) -> None:
    module = build()
    for entry in Layout.of(module):
        assert entry.fan_in == 70
        bound = float(module.get_parameter(entry.name).detach().abs().max()) * 70**0.5
        assert 0.8 < bound <= 1, entry.name


class Adapted(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 5)
        self.bias_scale, self.low = nn.Parameter(torch.ones(5)), nn.Parameter(torch.zeros(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias * self.bias_scale)


def _pruned(name: str) -> nn.Module:
    layer = nn.Linear(4, 5)
    with torch.no_grad():  # such that it can be copied
        return prune.l1_unstructured(layer, name, 0.4)


@pytest.mark.parametrize(
    ("build", "fans"),
    [
        (Adapted, {"weight": 4, "bias": 4, "bias_scale": None, "low": None}),
        (lambda: _pruned("bias"), {"weight": 4, "bias_orig": 4}),
        (lambda: _pruned("weight"), {"bias": 4, "weight_orig": 4}),
        (
            lambda: parametrizations.weight_norm(nn.Linear(4, 5), dim=1),
            {"bias": 4, "parametrizations.weight.original0": None, "parametrizations.weight.original1": 4},
        ),
        (
            lambda: nn.Sequential(parametrizations.spectral_norm(nn.Conv1d(4, 6, 3, groups=2))),
            {"0.bias": 6, "0.parametrizations.weight.original": 6},
        ),
        (
            lambda: parametrizations.orthogonal(nn.Linear(4, 5)),
            {"bias": 4, "parametrizations.weight.original": None},
        ),
        (
            lambda: register_parametrization(nn.Linear(4, 5), "bias", nn.Tanh()),
            {"weight": 4, "parametrizations.bias.original": 4},
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
            {
                "in_proj_weight": 4,
                "in_proj_bias": None,
                "bias_k": 4,
                "bias_v": 4,
                "out_proj.weight": 4,
                "out_proj.bias": None,
            },
        ),
    ],
)
def test_fan_in_of_what_is_kept_otherwise(build: Callable[[], nn.Module], fans: dict[str, int | None]) -> None:
    assert {entry.name: entry.fan_in for entry in Layout.of(build())} == fans


@pytest.mark.parametrize("build", [Adapted, lambda: _pruned("bias")])
def test_problems_of_layers_with_biases_of_other_names(build: Callable[[], nn.Module]) -> None:
    data = (torch.randn(9, 4), torch.arange(9) % 5)
    problem = tw.Problem(build, data)
    population = problem.initialize(1)
    outputs = population.module(0)(problem.data.train.inputs).detach()
    expected = nn.functional.cross_entropy(outputs, data[1])
    assert float(tw.evaluate(problem, population, on="train")["loss"]) == pytest.approx(float(expected), rel=1e-6)


def test_fan_in_of_tied_weights_is_that_of_the_first() -> None:
    entry = Layout.of(CASE["tied"].model())["out.weight"]
    assert (entry.module, entry.fan_in) == ("embed", None)


def test_fan_in_is_that_of_our_nets() -> None:
    """Linear layers of a transformer start Xavier-uniform: within sqrt(6 / (fan_in + fan_out))."""
    for net in (tw.nets.transformer(7, 5, 16), tw.nets.mlp(64, 32, 10), tw.nets.resnet(8), tw.nets.convnet1d()):
        for entry in Layout.of(net):
            if len(entry.shape) > 1 and entry.kind != "embedding":
                weight = net.get_parameter(entry.name)
                assert entry.fan_in == nn.init._calculate_fan_in_and_fan_out(weight)[0]
                if isinstance(net, tw.nets.Transformer):
                    bound = (6 / (entry.fan_in + entry.shape[0])) ** 0.5
                    assert 0.9 * bound < weight.abs().max() <= bound
        norms = [entry.fan_in for entry in Layout.of(net) if entry.kind in ("norm", "embedding")]
        assert set(norms) <= {None}


def test_a_scale_of_ones_own_is_other_and_may_have_no_dimension() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

    layout = Layout.of(Scaled())
    assert (layout["scale"].kind, layout["scale"].size) == ("other", 1)
    assert layout.views(torch.ones(3, 1))["scale"].shape == (3,)


def test_marks_by_kind_cover_every_column_once() -> None:
    layout = Layout.of(CASE["attention"].model())
    marks = [layout.where(kind) for kind in ("embedding", "hidden", "output", "bias", "norm", "other")]
    assert torch.equal(torch.stack(marks).sum(0), torch.ones(layout.parameters, dtype=torch.int64))
    assert torch.equal(layout.where("bias", "norm"), marks[3] | marks[4])


def test_a_misspelt_parameter_or_kind_is_named_with_the_nearest() -> None:
    layout = Layout.of(CASE["mlp"].model())
    with pytest.raises(UsageError, match=r"no parameter '0.weigth'. Did you mean '0.weight'\? Known: 0.bias"):
        layout["0.weigth"]
    with pytest.raises(UsageError, match=r"no kind 'biases'. Did you mean 'bias'"):
        layout.where("biases")


def _half_double() -> nn.Module:
    module = CASE["mlp"].model()
    module[2].double()
    return module


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (nn.Tanh(), "no parameter that requires a gradient; call requires_grad_"),
        (nn.Linear(2, 2).requires_grad_(False), "no parameter that requires a gradient"),
        (_half_double(), r"one dtype, but '0.weight' is torch.float32, '2.weight' is torch.float64"),
        (nn.LazyLinear(3), "'weight' is lazy and has no shape yet; run the model once"),
        (nn.Linear(2, 2, dtype=torch.complex64), "torch.complex64; a population holds real"),
    ],
)
def test_models_without_a_layout_say_why(module: nn.Module, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        Layout.of(module)


def test_different_layouts_name_the_first_difference() -> None:
    small, large = Layout.of(nn.Linear(2, 3)), Layout.of(nn.Linear(4, 3))
    same_layout(small, Layout.of(nn.Linear(2, 3)))
    with pytest.raises(UsageError, match=r"'weight' \(3, 2\) against 'weight' \(3, 4\)"):
        same_layout(small, large)
    with pytest.raises(UsageError, match="1 tensors against 2"):
        same_layout(Layout.of(nn.Linear(2, 3, bias=False)), small)
