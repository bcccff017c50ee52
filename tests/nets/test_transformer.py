"""The language model: causality, where the norms stand, tying, dropout, and an independent implementation."""

import pytest
import torch
from torch import Tensor, nn

from thalweg import nets
from thalweg.errors import ModelError


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_by_the_formula_of_the_docstring(norm: str, tied: bool) -> None:
    v, c, w, depth = 11, 9, 12, 3
    expected = (v + c) * w + depth * (12 * w * w + 13 * w) + (0 if tied else v * w) + (2 * w if norm == "pre" else 0)
    assert count(nets.transformer(v, c, w, 3, depth, norm=norm, tied=tied)) == expected


def test_modular_parameters() -> None:
    p, w = 59, 128
    assert count(nets.modular_transformer(p)) == (p + 1 + 3 + p) * w + 12 * w * w + 9 * w


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("changed", [0, 3, 7])
def test_a_token_changes_nothing_before_it(norm: str, changed: int) -> None:
    net = nets.transformer(10, 8, 16, 4, 2, norm=norm).double()
    tokens = torch.randint(0, 10, (5, 8))
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % 10
    before, after = net(tokens), net(other)
    torch.testing.assert_close(before[:, :changed], after[:, :changed], rtol=0, atol=0)
    assert ((before - after)[:, changed:].abs().amax((0, 2)) > 1e-6).all()


def test_the_order_of_earlier_tokens_matters() -> None:
    net = nets.transformer(10, 4, 16, 4, 1).double()
    swapped = net(torch.tensor([[1, 2, 3, 4]])) - net(torch.tensor([[2, 1, 3, 4]]))
    assert swapped[0, -1].abs().max() > 1e-6


def test_shorter_sequences_are_prefixes_and_longer_ones_are_refused() -> None:
    net = nets.transformer(10, 8, 16, 4, 2).double()
    tokens = torch.randint(0, 10, (2, 8))
    torch.testing.assert_close(net(tokens)[:, :5], net(tokens[:, :5]), rtol=0, atol=1e-12)
    with pytest.raises(ModelError, match=r"at most 8 tokens.*got 9"):
        net(torch.zeros(2, 9, dtype=torch.int64))


def torch_layer(block: nn.Module, width: int, heads: int, *, norm_first: bool) -> nn.TransformerEncoderLayer:
    """torch's own block with the weights of ours."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first
    ).double()
    attention = block.attention
    parts = (attention.query, attention.key, attention.value)
    state = {
        "self_attn.in_proj_weight": torch.cat([part.weight for part in parts]),
        "self_attn.in_proj_bias": torch.cat([part.bias for part in parts]),
    }
    pairs = {
        "self_attn.out_proj": attention.projection,
        "linear1": block.expand,
        "linear2": block.contract,
        "norm1": block.norm_attention,
        "norm2": block.norm_perceptron,
    }
    for name, module in pairs.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = module.weight, module.bias
    layer.load_state_dict(state)
    return layer


def scrambled(net: nn.Module) -> nn.Module:
    """Norms and biases start at ones and zeros, which would hide a mistake."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 3)
    return net


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_agrees_with_torch_layers(norm: str) -> None:
    width, heads, length = 12, 3, 5
    net = scrambled(nets.transformer(7, length, width, heads, 2, norm=norm).double())
    tokens = torch.randint(0, 7, (4, length))
    x: Tensor = (net.embedding.weight[tokens] + net.position.weight) * width**0.5
    mask = nn.Transformer.generate_square_subsequent_mask(length, dtype=torch.float64)
    for block in net.blocks:
        x = torch_layer(block, width, heads, norm_first=norm == "pre")(x, src_mask=mask, is_causal=True)
    if norm == "pre":
        x = nn.functional.layer_norm(x, (width,), net.norm.weight, net.norm.bias)
    torch.testing.assert_close(net(tokens), x @ net.output.weight.T, rtol=0, atol=1e-10)


def test_post_norm_streams_are_normalized_and_pre_norm_streams_grow() -> None:
    """At the start (Xiong et al. 2020, lemma 2): E|x|^2 / width stays 1, or grows by each branch."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 50, (8, 16))
    sizes = {}
    for norm in ("pre", "post"):
        net = nets.transformer(50, 16, 64, 4, 6, norm=norm)
        seen: list[float] = []
        for block in net.blocks:
            block.register_forward_hook(lambda module, args, out, seen=seen: seen.append(out.pow(2).mean().item()))
        net(tokens)
        sizes[norm] = seen
    assert all(abs(size - 1) < 1e-3 for size in sizes["post"])
    assert sizes["pre"] == sorted(sizes["pre"])
    assert sizes["pre"][-1] > 2 * sizes["pre"][0]


def test_tied_weights_are_one_tensor() -> None:
    tied, untied = nets.transformer(9, 4, 8, 2, tied=True), nets.transformer(9, 4, 8, 2)
    assert tied.output.weight is tied.embedding.weight
    assert tied.output.weight.data_ptr() == tied.embedding.weight.data_ptr()
    assert untied.output.weight.data_ptr() != untied.embedding.weight.data_ptr()
    assert "output.weight" in dict(tied.named_parameters(remove_duplicate=False))


def test_dropout_acts_in_training_only() -> None:
    net = nets.transformer(9, 6, 16, 2, dropout=0.3)
    tokens = torch.randint(0, 9, (2, 6))
    assert not torch.equal(net(tokens), net(tokens))
    net.eval()
    assert torch.equal(net(tokens), net(tokens))


def test_modular_answers_from_the_last_position() -> None:
    net = nets.modular_transformer(7, 16, 2).double()
    tokens = torch.tensor([[1, 2, 7], [3, 4, 7]])
    torch.testing.assert_close(net(tokens), net.output(net.states(tokens)[:, 2]), rtol=0, atol=0)
    assert not any(isinstance(module, nn.LayerNorm) for module in net.modules())


def test_parameters_read_well() -> None:
    names = dict(nets.transformer(5, 4, 8, 2, 1).named_parameters())
    assert {"embedding.weight", "position.weight", "blocks.0.attention.query.weight", "output.weight"} <= set(names)
