"""What the limit refuses: the node, its line, the remedy and the Monte-Carlo way out; never a wrong kernel."""

import copy
from collections.abc import Callable

import pytest
import torch
from modules_of_limits import Written, drawn
from torch import Tensor, nn
from torch.nn import functional

import thalweg as tw

VECTORS, IMAGES, TOKENS, SYMBOLS = drawn(4, 16), drawn(2, 2, 8, 8), drawn(2, 5, 16), torch.tensor([[0, 1], [2, 3]])


def dense(out: int = 16) -> nn.Linear:
    return nn.Linear(16, out)


def written(function: Callable[[nn.Module, Tensor], Tensor], **modules: nn.Module) -> nn.Module:
    return Written(function, first=dense(), second=dense(), third=dense(), last=dense(2), **modules)


def behind(layer: nn.Module, out: int = 8) -> nn.Module:
    return nn.Sequential(dense(out), layer, nn.Linear(out, 2))


def moved() -> nn.Module:
    module = behind(nn.BatchNorm1d(8))
    module(VECTORS)
    return module.eval()


def learned(**parameters: Tensor) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(one) for name, one in parameters.items()}


def attended(m: nn.Module, x: Tensor) -> Tensor:
    return m.last(m.attention(x, x, x, attn_mask=torch.zeros(5, 5), need_weights=False)[0].mean(1))


REFUSED = {
    "max pooling": (
        lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 2)),
        IMAGES,
        r"'max_pool2d' in '2'.*use average pooling",
    ),
    "recurrent": (
        lambda: written(lambda m, x: m.last(m.lstm(x)[0].mean(1)), lstm=nn.LSTM(16, 16, batch_first=True)),
        TOKENS,
        r"'lstm' in 'lstm'.*feed-forward",
    ),
    "weight norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(dense()), nn.ReLU(), dense(2)),
        VECTORS,
        r"'_weight_norm'.*Remove the parametrization",
    ),
    "spectral norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(dense()), nn.ReLU(), dense(2)).eval(),
        VECTORS,
        r"parametrizations.*Use it in its own shape",
    ),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(128, 2)
        ),
        IMAGES,
        r"'conv2d' in '2': its 8 groups have 1 channels each",
    ),
    "mixer": (
        lambda: written(lambda m, x: m.last(m.mix(m.first(x).transpose(1, 2)).mean(2)), mix=nn.Linear(5, 5)),
        TOKENS,
        r"'linear' in 'mix'.*mix positions while channels stay apart",
    ),
    "gate of one layer": (
        lambda: written(lambda m, x: m.third(functional.glu(m.gate(x))), gate=dense(32)),
        VECTORS,
        r"'glu'.*share a layer",
    ),
    "gate of parts": (
        lambda: written(lambda m, x: m.last(m.first(x) * torch.sigmoid(m.second(x)))),
        VECTORS,
        r"'mul'.*not functions of one Gaussian value",
    ),
    "gate of halves": (
        lambda: written(
            lambda m, x: m.gate((h := m.first(x).unflatten(1, (2, 8)))[:, 0] * torch.sigmoid(h[:, 1])),
            gate=nn.Linear(8, 1),
        ),
        VECTORS,
        r"'mul'.*not functions of one Gaussian value",
    ),
    "a condition on the data": (
        lambda: written(lambda m, x: m.last(torch.where(x.sum() > 0, m.first(x), m.second(x)))),
        VECTORS,
        r"'sum'.*examples of a batch",
    ),
    "a branch of the program": (
        lambda: written(lambda m, x: m.first(x) if x.sum() > 0 else m.second(x)),
        VECTORS,
        r"what is done may not depend on numbers",
    ),
    "learned slope": (lambda: behind(nn.PReLU()), VECTORS, r"'prelu' in '1'.*learned"),
    "alpha dropout in training": (lambda: behind(nn.AlphaDropout(0.3)), VECTORS, r"Call module.eval\(\)"),
    "dropout in training": (lambda: behind(nn.Dropout(0.3)), VECTORS, r"'dropout' in '1'.*Call module.eval\(\)"),
    "batch norm in training": (lambda: behind(nn.BatchNorm1d(8)), VECTORS, r"training mode.*Call module.eval\(\)"),
    "batch norm after training": (moved, VECTORS, r"have moved.*reset_running_stats"),
    "tied embedding": (
        lambda: Written(lambda m, x: m.table(x).mean(1) @ m.table.weight.T, table=nn.Embedding(7, 16)),
        SYMBOLS,
        r"'table.weight' is read at 2 places",
    ),
    "shared layer": (
        lambda: written(lambda m, x: m.last(torch.relu(m.first(torch.relu(m.first(x)))))),
        VECTORS,
        r"'first.weight' is read at 2 places",
    ),
    "shared last weights": (
        lambda: written(lambda m, x: m.last((h := m.first(x)) + (h + m.second(torch.relu(h))))),
        VECTORS,
        r"'add'.*share their last weights",
    ),
    "layer scale": (
        lambda: written(lambda m, x: m.last(m.g * m.first(x)), **learned(g=torch.ones(16))),
        VECTORS,
        r"'g' scales or bends values by learned numbers",
    ),
    "learned positions": (
        lambda: written(lambda m, x: m.last((m.first(x) + m.p).mean(1)), **learned(p=torch.randn(5, 16))),
        TOKENS,
        r"'p' that is added is not one number a channel",
    ),
    "softmax at the end": (lambda: nn.Sequential(dense(), nn.ReLU(), dense(2), nn.Softmax(1)), VECTORS, r"the logits"),
    "a step": (lambda: written(lambda m, x: m.last(torch.sign(m.first(x)))), VECTORS, r"'sign'.*is a step"),
    "positions at the end": (lambda: nn.Conv2d(2, 8, 3), IMAGES, r"still has positions. Pool"),
    "a mask": (
        lambda: written(attended, attention=nn.MultiheadAttention(16, 4, batch_first=True)),
        TOKENS,
        r"'scaled_dot_product_attention' in 'attention'.*mask of its own",
    ),
    "complex numbers": (lambda: written(lambda m, x: torch.fft.fft(m.first(x)).real), VECTORS, r"'fft_fft'"),
    "two outputs": (lambda: written(lambda m, x: (m.first(x), m.second(x))), VECTORS, r"returns 2 tensors"),
    "an activation of a sum of activations": (
        lambda: written(lambda m, x: m.last(torch.relu((h := torch.relu(m.first(x))) + m.second(h)))),
        VECTORS,
        r"'relu'.*neither Gaussian.*Put a linear layer before it",
    ),
    "examples that are mixed": (
        lambda: written(lambda m, x: m.last(m.first(x - x.mean(0)))),
        VECTORS,
        r"'mean'.*mixes the examples",
    ),
    "no parameter": (nn.ReLU, VECTORS, r"does not depend on random parameters"),
    "transposed convolution": (
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 8, 3), nn.Flatten(), nn.Linear(800, 2)),
        IMAGES,
        r"transposed convolutions",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_its_place_and_the_way_out(name):
    make, inputs, sentence = REFUSED[name]
    with pytest.raises(tw.ModelError, match=sentence) as caught:
        tw.ntk.infinite(make(), progress=None).ntk(inputs)
    assert "ntk.empirical" in str(caught.value)


def test_the_line_is_said():
    module = written(lambda m, x: m.last(m.first(x).cumsum(1)))
    with pytest.raises(tw.ModelError, match=r"'cumsum' \(.*modules_of_limits.py:\d+\)"):
        tw.ntk.infinite(module, progress=None).ntk(VECTORS)


def test_inputs_that_do_not_fit():
    limit = tw.ntk.infinite(nn.Sequential(dense(64), nn.ReLU(), nn.Linear(64, 1)), progress=None)
    with pytest.raises(tw.DataError, match=r"cannot be called with one tensor \(examples, 7\) of torch.float32"):
        limit.ntk(drawn(3, 7))
    with pytest.raises(tw.DataError, match=r"take one tensor.*ntk.empirical"):
        tw.ntk.infinite(nn.Bilinear(16, 16, 2), progress=None).ntk(VECTORS)
    with pytest.raises(tw.DataError, match="x1 holds numbers that are not finite"):
        limit.ntk(VECTORS / 0)
    with pytest.raises(tw.DataError, match="different shapes"):
        limit.ntk(VECTORS, drawn(3, 7))
    with pytest.raises(tw.DataError, match="holds no examples"):
        limit.ntk(VECTORS[:0])
    with pytest.raises(tw.UsageError, match="x1 must be a tensor"):
        limit.ntk([[1.0]])


def test_a_function_that_makes_a_module_is_told_how_to_return_it():
    with pytest.raises(tw.ModelError, match=r"lambda: make\(\).eval\(\)"):
        tw.ntk.infinite(lambda: behind(nn.Dropout(0.3)), progress=None).ntk(VECTORS)
    assert tw.ntk.infinite(lambda: behind(nn.Dropout(0.3)).eval(), progress=None).ntk(VECTORS).shape == (4, 4)


def test_layers_that_were_copied_are_refused_unless_said_to_be_drawn_apart():
    def apart() -> nn.Module:
        return written(lambda m, x: m.last(torch.relu(m.first(x)) + torch.relu(m.second(x))))

    def copied() -> nn.Module:
        module = apart()
        module.second = copy.deepcopy(module.first)
        return module

    with pytest.raises(tw.ModelError, match=r"'first.weight' and 'second.weight' start with the same numbers"):
        tw.ntk.infinite(copied, progress=None).ntk(VECTORS)
    given = {"first": 1.0, "second": 1.0}
    found, expected = (
        tw.ntk.infinite(make(), weight_std=given, bias_std=0.0, progress=None).nngp(VECTORS) for make in (copied, apart)
    )
    torch.testing.assert_close(found, expected)


def test_batch_norm_that_changes_nothing_is_told():
    notes = tw.ntk.infinite(behind(nn.BatchNorm1d(8)).eval(), progress=None).kernels(VECTORS).reading.notes
    assert any("not of training, where examples of a batch are normalized together" in one for one in notes)


def test_inputs_of_both_sides_are_looked_at():
    limit = tw.ntk.infinite(nn.Sequential(dense(64), nn.ReLU(), nn.Linear(64, 1)), progress=None)
    assert limit.kernels(VECTORS, VECTORS + 1).reading.notes == ('Parameterization "ntk".',)
    assert any("not scaled" in one for one in limit.kernels(VECTORS, 100 * VECTORS).reading.notes)
    twice = torch.cat([VECTORS, VECTORS[:1]])
    assert len(limit.kernels(twice, VECTORS).reading.notes) == 1
    assert any("same as an earlier one" in one for one in limit.kernels(twice).reading.notes)


def test_an_overflow_is_said_and_no_nan_is_given():
    layers = [layer for _ in range(80) for layer in (nn.Linear(16, 16), nn.ReLU())]
    limit = tw.ntk.infinite(nn.Sequential(*layers), weight_std=5.0, bias_std=0.0, progress=None)
    with pytest.raises(tw.DataError, match="overflows"):
        limit.ntk(VECTORS)


def test_few_heads_and_narrow_layers_are_told():
    attention = nn.MultiheadAttention(64, 4, batch_first=True)
    module = Written(
        lambda m, x: m.last(m.attention(h := m.first(x), h, h)[0].mean(1)),
        first=nn.Linear(16, 64),
        attention=attention,
        last=nn.Linear(64, 1),
    )
    notes = tw.ntk.infinite(module, progress=None).kernels(TOKENS).reading.notes
    assert any("has 4 heads" in one for one in notes)
    assert any("its standard error is" in one for one in notes)
