"""Blocks of the shapes that torchvision and timm have, written out: residual, dense, inverted, mixed, attentive."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from foreign.harness import CLASSES, Case, Refused, assert_as_plain, double, integers, normal  # noqa: F401
from torch import Tensor, nn

IMAGES = normal(2, 4, 4)


def normed(channels: int, out: int, size: int = 3, **options: int) -> nn.Sequential:
    """Convolution, normalization, activation."""
    conv = nn.Conv2d(channels, out, size, padding=size // 2, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class Classifier(nn.Module):
    """A body, the mean over positions, a linear head."""

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body, self.pool, self.head = body, nn.AdaptiveAvgPool2d(1), nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.body(x)).flatten(1))


class BasicBlock(nn.Module):
    """ResNet's, with a projection beside; a pre-activation would not change what is tested."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = normed(2, 3, stride=2), nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(2, 3, 1, stride=2, bias=False), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.second(self.first(x)))
        out += self.downsample(x)
        return self.relu(out)


class Dense(nn.Module):
    """DenseNet's: every layer sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(normed(2 + 2 * depth, 2) for depth in range(2))
        self.transition = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.AvgPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 1)))
        return self.transition(torch.cat(seen, 1))


class Inverted(nn.Module):
    """MobileNet's inverted residual with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = normed(2, 4, 1), normed(4, 4, groups=4)
        self.squeeze, self.excite = nn.Conv2d(4, 1, 1), nn.Conv2d(1, 4, 1)
        self.project = nn.Sequential(nn.Conv2d(4, 2, 1, bias=False), nn.BatchNorm2d(2))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(self.expand(x))
        gate = F.relu6(3 + self.excite(F.silu(self.squeeze(hidden.mean((2, 3), keepdim=True))))) / 6
        return x + self.project(hidden * gate)


class ConvNext(nn.Module):
    """ConvNeXt's: depthwise, layer norm over channels last, a layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.LayerNorm(2)
        self.first, self.second, self.gamma = nn.Linear(2, 8), nn.Linear(8, 2), nn.Parameter(torch.full((2,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.second(F.gelu(self.first(hidden)))).permute(0, 3, 1, 2)


class Mixer(nn.Module):
    """MLP-Mixer: one perceptron over patches, one over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norms = nn.Conv2d(2, 4, 2, stride=2), nn.ModuleList(nn.LayerNorm(4) for _ in range(3))
        self.tokens = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4))
        self.channels = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norms[1](x))
        return self.head(self.norms[2](x).mean(1))


class Vision(nn.Module):
    """timm's vision transformer: a class token, positions, one qkv, fused attention, a layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(2, 4, 2, stride=2), nn.Parameter(torch.randn(1, 1, 4) / 2)
        self.positions = nn.Parameter(torch.randn(1, 5, 4) / 2)
        self.norm, self.qkv, self.project = nn.LayerNorm(4), nn.Linear(4, 12), nn.Linear(4, 4)
        self.gamma, self.head = nn.Parameter(torch.full((4,), 0.5)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        q, k, v = self.qkv(self.norm(x)).reshape(len(x), 5, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(x), 5, 4)
        return self.head((x + self.gamma * self.project(attended))[:, 0])


class Inception(nn.Module):
    """GoogLeNet's branches, and an auxiliary head whose logits are returned in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([normed(2, 2, 1), normed(2, 2, 3)])
        self.pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), normed(2, 1, 1))
        self.auxiliary, self.head = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = torch.cat([*(branch(x) for branch in self.branches), self.pooled(x)], 1).mean((2, 3))
        return self.head(x), self.auxiliary(x.tanh()) if self.training else None


def with_auxiliary(outputs: tuple[Tensor, Tensor | None], targets: Tensor) -> Tensor:
    logits, auxiliary = outputs
    loss = F.cross_entropy(logits, targets)
    return loss if auxiliary is None else loss + 0.3 * F.cross_entropy(auxiliary, targets)


class UNet(nn.Module):
    """Down, up by a transposed convolution, and beside; one class a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.below = normed(2, 3), nn.Sequential(nn.MaxPool2d(2), normed(3, 4))
        self.up, self.head = nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.down(x)
        return self.head(torch.cat([beside, self.up(self.below(beside))], 1))


def vgg() -> nn.Module:
    return nn.Sequential(
        normed(2, 3), nn.MaxPool2d(2), normed(3, 3), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3)
    )


PIXELS = integers(3, 4, 4)
VOID = torch.where(integers(4, 4, 4, seed=1) == 0, -100, PIXELS)
CASES = [
    Case("ResNet", lambda: Classifier(BasicBlock(), 3), IMAGES),
    Case("DenseNet", lambda: Classifier(Dense(), 3), IMAGES),
    Case("MobileNet", lambda: Classifier(Inverted(), 2), IMAGES),
    Case("ConvNeXt", lambda: Classifier(ConvNext(), 2), IMAGES),
    Case("MLP-Mixer", Mixer, IMAGES),
    Case("vision transformer", Vision, IMAGES),
    Case("GoogLeNet", Inception, IMAGES, loss=with_auxiliary),
    Case("UNet", UNet, IMAGES, PIXELS, loss=F.cross_entropy),
    Case(
        "UNet with pixels that do not count",
        UNet,
        IMAGES,
        VOID,
        loss=lambda outputs, targets: F.cross_entropy(outputs, targets, ignore_index=-100),
        weights=(VOID != -100).sum((1, 2)),
    ),
    Case(
        "class weights",
        lambda: Classifier(ConvNext(), 2),
        IMAGES,
        loss=lambda outputs, targets: F.cross_entropy(outputs, targets, weight=torch.tensor([1.0, 3.0, 0.5])),
        weights=torch.tensor([1.0, 3.0, 0.5])[CLASSES],
    ),
    Case("VGG with batch norm", vgg, IMAGES),
]


REFUSED = [
    Refused("classes before pixels, by a name", UNet, IMAGES, "loss=torch.nn.functional.cross_entropy", targets=PIXELS),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_vision(case: Case, tmp_path: Path) -> None:
    assert_as_plain(case, tmp_path)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_vision_that_is_refused(case: Refused) -> None:
    case.assert_refused()
