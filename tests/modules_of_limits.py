"""Modules whose limits are tested, with a function that makes each and inputs for it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WIDTH = 96


class Written(nn.Module):
    """A module whose forward is a function of it and the input."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@dataclass(frozen=True)
class Stock:
    """A function that makes a module, and inputs."""

    make: Callable[[], nn.Module]
    inputs: Tensor


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def multilayer(*activations: nn.Module, inputs: int = 16, width: int = WIDTH, bias: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, activation in enumerate(activations):
        layers += [nn.Linear(width if number else inputs, width, bias=bias), activation]
    return nn.Sequential(*layers, nn.Linear(width, 1, bias=bias))


def xavier() -> nn.Module:
    module = multilayer(nn.Tanh(), nn.Tanh())
    for layer in module:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight, 5 / 3)
            nn.init.zeros_(layer.bias)
    return module


def convolutional(*behind: nn.Module, mode: str = "zeros", kernel: int = 3, dilation: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, WIDTH, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH, kernel, padding="same", padding_mode=mode, dilation=dilation),
        nn.ReLU(),
        *behind,
    )


def before_norm() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(h + m.out(torch.relu(m.inner(m.norm(h)))))

    return Written(
        forward,
        first=nn.Linear(16, WIDTH),
        norm=nn.LayerNorm(WIDTH),
        inner=nn.Linear(WIDTH, WIDTH),
        out=nn.Linear(WIDTH, WIDTH),
        last=nn.Linear(WIDTH, 1),
    )


def behind_norm() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(m.norm(h + torch.relu(m.inner(h))))

    return Written(
        forward,
        first=nn.Linear(16, WIDTH),
        norm=nn.LayerNorm(WIDTH),
        inner=nn.Linear(WIDTH, WIDTH),
        last=nn.Linear(WIDTH, 1),
    )


def concatenated() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(torch.relu(torch.cat([h, m.inner(torch.relu(h))], 1)))

    return Written(
        forward,
        first=nn.Linear(16, WIDTH),
        inner=nn.Linear(WIDTH, WIDTH // 2),
        last=nn.Linear(WIDTH + WIDTH // 2, 1),
    )


def volumes() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last((m.inner(torch.relu(h)) + m.shortcut(h)).relu().mean((2, 3, 4)))

    return Written(
        forward,
        first=nn.Conv3d(1, WIDTH, 3, padding=1),
        inner=nn.Conv3d(WIDTH, WIDTH, 3, stride=2, padding=1),
        shortcut=nn.Conv3d(WIDTH, WIDTH, 1, stride=2),
        last=nn.Linear(WIDTH, 1),
    )


def embedded() -> nn.Module:
    return Written(
        lambda m, x: m.last(torch.relu(m.inner(m.table(x))).mean(1)),
        table=nn.Embedding(7, WIDTH),
        inner=nn.Linear(WIDTH, WIDTH),
        last=nn.Linear(WIDTH, 1),
    )


def attending() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.first(x)
        return m.last(m.norm(h + m.attention(h, h, h, need_weights=False)[0]).mean(1))

    return Written(
        forward,
        first=nn.Linear(6, 128),
        attention=nn.MultiheadAttention(128, 16, batch_first=True),
        norm=nn.LayerNorm(128),
        last=nn.Linear(128, 1),
    )


def encoding() -> nn.Module:
    layer = nn.TransformerEncoderLayer(128, 16, 128, norm_first=True, activation="gelu", batch_first=True)
    module = Written(lambda m, x: m.last(m.layer(m.first(x)).mean(1)), first=nn.Linear(6, 128), layer=layer)
    module.last = nn.Linear(128, 1)
    return module.eval()


VECTORS, IMAGES, TOKENS = drawn(3, 16), drawn(2, 2, 4, 4), drawn(2, 3, 6)
STOCK = {
    "relu": Stock(lambda: multilayer(nn.ReLU(), nn.ReLU()), VECTORS),
    "gelu": Stock(lambda: multilayer(nn.GELU(), nn.GELU(approximate="tanh")), VECTORS),
    "xavier": Stock(xavier, VECTORS),
    "leaky and dropout": Stock(lambda: multilayer(nn.Sequential(nn.LeakyReLU(0.1), nn.Dropout(0.3))).eval(), VECTORS),
    "five activations": Stock(
        lambda: multilayer(nn.SiLU(), nn.Softplus(), nn.ELU(), nn.Mish(), nn.Hardtanh()), VECTORS
    ),
    "two in a row": Stock(lambda: multilayer(nn.Sequential(nn.Tanh(), nn.ReLU())), 3 * VECTORS),
    "norm before": Stock(before_norm, VECTORS),
    "norm behind": Stock(behind_norm, VECTORS),
    "concatenated": Stock(concatenated, VECTORS),
    "convolution, flat": Stock(lambda: convolutional(nn.Flatten(), nn.Linear(16 * WIDTH, 1)), IMAGES),
    "convolution, pooled": Stock(
        lambda: convolutional(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 1)), IMAGES
    ),
    "circular, dilated": Stock(
        lambda: convolutional(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4 * WIDTH, 1), mode="circular", dilation=2),
        IMAGES,
    ),
    "even": Stock(lambda: convolutional(nn.Flatten(), nn.Linear(16 * WIDTH, 1), kernel=4), IMAGES),
    "volumes": Stock(volumes, drawn(2, 1, 4, 4, 4)),
    "batch norm": Stock(
        lambda: convolutional(nn.BatchNorm2d(WIDTH), nn.Flatten(), nn.Linear(16 * WIDTH, 1)).eval(), IMAGES
    ),
    "embedding": Stock(embedded, torch.tensor([[0, 1, 2, 0], [3, 1, 1, 5]])),
    "attention": Stock(attending, TOKENS),
    "encoder": Stock(encoding, TOKENS),
}
