"""Models as users write them, in float64 with all parameters random, and inputs for them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thalweg as tw
from thalweg.randomness import generator


class NanoAttention(nn.Module):
    """Causal attention of one fused projection, by torch's kernel or written out with a registered mask."""

    def __init__(self, width: int, heads: int, block_size: int, fused: bool) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attn_dropout, self.resid_dropout = nn.Dropout(0.1), nn.Dropout(0.1)
        self.n_head, self.n_embd, self.flash = heads, width, fused
        if not fused:
            mask = torch.tril(torch.ones(block_size, block_size))
            self.register_buffer("bias", mask.view(1, 1, block_size, block_size))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        if self.flash:
            dropout = 0.1 if self.training else 0
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=dropout, is_causal=True)
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
            y = self.attn_dropout(F.softmax(att, dim=-1)) @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int, block_size: int, fused: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = NanoAttention(width, heads, block_size, fused)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Nano(nn.Module):
    """A small language model with tied embeddings that checks the length of what it reads."""

    def __init__(self, *, fused: bool, vocabulary: int = 7, width: int = 6, heads: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.block_size = 5
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(self.block_size, width)
        self.drop, self.ln_f = nn.Dropout(0.1), nn.LayerNorm(width)
        self.h = nn.ModuleList(NanoBlock(width, heads, self.block_size, fused) for _ in range(depth))
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx: Tensor) -> Tensor:
        _, t = idx.size()
        assert t <= self.block_size, f"cannot forward sequence of length {t}"
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device)
        x = self.drop(self.wte(idx) + self.wpe(pos))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class ImageAttention(nn.Module):
    """Attention as of vision transformers: reshape to (3, batch, heads, length, part) and unbind."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.q_norm, self.token = nn.LayerNorm(width // heads), nn.Parameter(torch.zeros(1, 1, width))
        self.patch, self.head = nn.Conv2d(1, width, 2, stride=2), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(F.scaled_dot_product_attention(self.q_norm(q), k, v).transpose(1, 2).reshape(B, N, C))
        return self.head(x[:, 0])


class GroupedQuery(nn.Module):
    """Two heads of queries for every head of keys, RMS norms, a gated perceptron and rotated positions."""

    def __init__(self, kernel: str) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(5, 8), nn.RMSNorm(8)
        self.q, self.k, self.v = (nn.Linear(8, n, bias=False) for n in (8, 4, 4))
        self.o, self.gate, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 8)
        self.out, self.kernel = nn.Linear(8, 5), kernel

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        B, T, C = x.shape
        h = self.norm(x)
        q = self.q(h).view(B, T, 4, 2).transpose(1, 2)
        k, v = (one(h).view(B, T, 2, 2).transpose(1, 2) for one in (self.k, self.v))
        if self.kernel == "expand":
            k, v = (one[:, :, None].expand(B, 2, 2, T, 2).reshape(B, 4, T, 2) for one in (k, v))
        elif self.kernel == "interleave":
            k, v = (one.repeat_interleave(2, dim=1) for one in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kernel == "gqa")
        x = x + self.o(y.transpose(1, 2).reshape(B, T, C))
        return self.out(x + self.down(F.silu(self.gate(x)) * self.up(x)))


class Rotary(nn.Module):
    """Attention whose dimensions of queries and keys are rotated in pairs, which tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Embedding(5, 8), nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        B, T = tokens.shape
        q, k, v = (one.view(B, T, 2, 4).transpose(1, 2) for one in self.qkv(self.embed(tokens)).chunk(3, -1))
        angle = torch.arange(T)[:, None] * torch.tensor([1.0, 0.1], dtype=q.dtype)
        cos, sin = (torch.cat([f(angle)] * 2, -1) for f in (torch.cos, torch.sin))
        turn = lambda x: x * cos + torch.cat([-x[..., 2:], x[..., :2]], -1) * sin  # noqa: E731
        y = F.scaled_dot_product_attention(turn(q), turn(k), v)
        return self.out(y.transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """torch's own layer."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(5, 8), nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 6, batch_first=True, **options)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(tokens)).mean(1))


class MultiHead(nn.Module):
    """torch's attention, across two sequences of other widths."""

    def __init__(self, *, weights: bool, kdim: int | None) -> None:
        super().__init__()
        self.embed, self.other = nn.Embedding(5, 8), nn.Embedding(5, kdim or 8)
        self.attend = nn.MultiheadAttention(8, 2, kdim=kdim, vdim=kdim, batch_first=True)
        self.out, self.weights = nn.Linear(8, 3), weights

    def forward(self, tokens: Tensor) -> Tensor:
        x, y = self.embed(tokens), self.other(tokens)
        return self.out(self.attend(x, y, y, need_weights=self.weights)[0])


class ResidualBlock(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out)
        self.conv2, self.bn2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.BatchNorm2d(fan_out)
        self.downsample = None
        if stride != 1 or fan_in != fan_out:
            self.downsample = nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(ResidualBlock(4, 4, 1), ResidualBlock(4, 6, 2))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn(self.stem(x))), 2)
        return self.fc(torch.flatten(self.pool(self.blocks(x)), 1))


class Padded(nn.Module):
    """A shortcut without parameters: every other pixel, and channels of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.fc = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 7, 3, 2, 1), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.fc((F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + self.conv(x)).relu().mean((2, 3)))


class Dense(nn.Module):
    """Every layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(n, 3, 3, padding=1) for n in (1, 4, 7))
        self.norm, self.fc = nn.BatchNorm2d(10), nn.Linear(10 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for conv in self.convs:
            found.append(conv(torch.cat(found, 1)).relu())
        return self.fc(F.avg_pool2d(self.norm(torch.cat(found, 1)), 2).flatten(1))


class Skip(nn.Module):
    """Down, up again, and beside what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(6, 3, 2, stride=2), nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        high = F.silu(self.down(x))
        low = F.silu(self.deep(F.avg_pool2d(high, 2)))
        return self.out(torch.cat([high, self.up(low)], 1) + F.interpolate(low, scale_factor=2)[:, :1])


class Separable(nn.Module):
    """Each channel alone, then all of them at each position; and convolutions in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.alone = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.mix, self.grouped = nn.Conv2d(12, 6, 1), nn.Conv2d(6, 4, 3, padding=1, groups=2)
        self.turned, self.fc = nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.mix(F.relu6(self.alone(F.relu(self.stem(x))))))
        return self.fc(torch.tanh(self.turned(torch.tanh(self.grouped(x)))).mean((2, 3)))


class Twice(nn.Module):
    """One linear layer called two times, and an activation with a trained slope."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.act = nn.PReLU(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.again(torch.tanh(self.again(self.act(self.first(x)))))))


class Apart(nn.Module):
    """Unit 2 is read in another way than the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        return self.out(h) + h[:, 2:3]


class Ordered(nn.Module):
    """A sum over the units so far."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cumsum(self.first(x), -1).tanh())


class Gated(nn.Module):
    """Halves of one layer multiplied, an einsum, transposed weights and a weight of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.scale = nn.Linear(4, 10), nn.Parameter(torch.zeros(5))
        self.own, self.other = nn.Parameter(torch.zeros(5, 6)), nn.Parameter(torch.zeros(4, 6))
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.glu(self.both(x), -1) * self.scale
        h = torch.einsum("bi,ij->bj", h, self.own).tanh() @ self.other.t()
        return self.out(h.relu())


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(4, 6), nn.Linear(2, 6), nn.Linear(6, 3)

    def forward(self, *, wide: Tensor, narrow: Tensor) -> dict[str, Tensor]:
        return {"out": self.out(torch.tanh(self.left(wide)) * self.right(narrow))}


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.before, self.cell, self.out = nn.Linear(2, 4), kind(4, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cell(self.before(x).tanh())[0][:, -1])


class Normalized(nn.Module):
    """Weights that are made of others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
        self.second, self.out = nn.utils.parametrizations.orthogonal(nn.Linear(6, 6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.second(self.first(x).tanh()).tanh())


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.InstanceNorm2d(4, affine=True),
        nn.SiLU(), nn.Conv2d(4, 4, 3), nn.GroupNorm(1, 4), nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d(0.2), nn.Flatten(),
        nn.Linear(36, 6), nn.BatchNorm1d(6), nn.ELU(), nn.Linear(6, 3),
    )  # fmt: skip


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(0, "inputs"), dtype=torch.float64)


VECTORS, PIXELS, SIGNALS = _normal(4, 4), _normal(4, 1, 8, 8), _normal(4, 5, 2)
TOKENS = torch.randint(5, (4, 5), generator=generator(0, "tokens"))


@dataclass(frozen=True)
class Architecture:
    """A model and inputs for it."""

    build: Callable[[], nn.Module]
    inputs: Any
    unknown: tuple[str, ...] = ()

    def module(self, seed: int = 0) -> nn.Module:
        """In float64 with parameters and running statistics at random, so that no two units are alike."""
        return randomized(self.build(), seed)


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    draw = generator(seed, "architectures")
    module = module.double().eval()
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point() and "mask" not in name and not name.endswith("attn.bias"):
                tensor.copy_(torch.randn(tensor.shape, generator=draw, dtype=torch.float64))
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.1)
    return module


ARCHITECTURES = {
    "mlp": Architecture(lambda: tw.nets.mlp(4, 6, 5, 3, activation="gelu"), VECTORS),
    "convnet": Architecture(lambda: tw.nets.convnet((4, 6)), PIXELS),
    "convnet1d": Architecture(lambda: tw.nets.convnet1d(4, length=16), _normal(4, 16)),
    "resnet": Architecture(lambda: tw.nets.resnet(4), PIXELS),
    "resnet of groups": Architecture(lambda: tw.nets.resnet(8, norm="group"), PIXELS),
    "transformer": Architecture(lambda: tw.nets.transformer(5, 5, 8, 2), TOKENS),
    "post-norm": Architecture(lambda: tw.nets.transformer(5, 5, 8, 2, norm="post"), TOKENS),
    "tied": Architecture(lambda: tw.nets.transformer(5, 5, 8, 2, tied=True), TOKENS),
    "modular": Architecture(lambda: tw.nets.modular_transformer(5, 8, 2), TOKENS[:, :3]),
    "with squared norm": Architecture(lambda: tw.nets.WithSquaredNorm(tw.nets.mlp(4, 6, 3)), VECTORS),
    "nano": Architecture(lambda: Nano(fused=True), TOKENS),
    "nano written out": Architecture(lambda: Nano(fused=False), TOKENS[:, :4]),
    "image attention": Architecture(lambda: ImageAttention(8, 2), PIXELS),
    "grouped query": Architecture(lambda: GroupedQuery("gqa"), TOKENS),
    "grouped query expanded": Architecture(lambda: GroupedQuery("expand"), TOKENS),
    "grouped query repeated": Architecture(lambda: GroupedQuery("interleave"), TOKENS),
    "rotary": Architecture(Rotary, TOKENS),
    "encoder": Architecture(Encoder, TOKENS),
    "encoder pre-norm": Architecture(lambda: Encoder(norm_first=True, activation="gelu"), TOKENS),
    "multi-head": Architecture(lambda: MultiHead(weights=False, kdim=None), TOKENS),
    "multi-head with weights": Architecture(lambda: MultiHead(weights=True, kdim=6), TOKENS),
    "residual": Architecture(Residual, PIXELS),
    "padded": Architecture(Padded, PIXELS),
    "dense": Architecture(Dense, PIXELS),
    "skip": Architecture(Skip, PIXELS),
    "separable": Architecture(Separable, PIXELS),
    "twice": Architecture(Twice, VECTORS),
    "apart": Architecture(Apart, VECTORS),
    "ordered": Architecture(Ordered, VECTORS),
    "gated": Architecture(Gated, VECTORS),
    "named": Architecture(Named, {"wide": VECTORS, "narrow": VECTORS[:, :2]}),
    "lstm": Architecture(lambda: Recurrent(nn.LSTM), SIGNALS, ("lstm",)),
    "gru": Architecture(lambda: Recurrent(nn.GRU), SIGNALS, ("gru",)),
    "weight norm": Architecture(Normalized, VECTORS),
    "group norm": Architecture(grouped, PIXELS),
    "images": Architecture(images, PIXELS),
}
