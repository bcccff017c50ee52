"""Models as users write them, in float64 with all parameters random, and inputs for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from population.attention import Encoder, GroupedQuery, ImageAttention, MultiHead, Nano, Rotary
from torch import Tensor, nn

import thalweg as tw
from thalweg.randomness import generator


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
        nn.Conv2d(1, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.ReLU(), nn.Conv2d(6, 4, 3),
        nn.InstanceNorm2d(4, affine=True), nn.SiLU(), nn.Conv2d(4, 4, 3), nn.GroupNorm(1, 4),
        nn.Flatten(), nn.Linear(64, 3),
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
