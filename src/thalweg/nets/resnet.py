"""A small residual network."""

from torch import Tensor, nn

from thalweg.errors import UsageError, unknown_name
from thalweg.nets.sizes import check_image, check_sizes

_STAGES = 3
_GROUPS = 8
_NORMS = ("batch", "group")


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))  (He et al. 2016, figure 2).

    Args:
        fan_in, fan_out: channels.
        stride: of the first convolution; the shortcut is a strided 1x1 convolution where the shape changes.
        norm: "batch" or "group".
    """

    def __init__(self, fan_in: int, fan_out: int, stride: int, norm: str) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = normalization(norm, fan_out)
        self.convolution2 = nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False)
        self.norm2 = normalization(norm, fan_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride=stride, bias=False), normalization(norm, fan_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, fan_in, height, width) -> (batch, fan_out, height / stride, width / stride)."""
        branch = self.norm1(self.convolution1(x)).relu()
        return (self.shortcut(x) + self.norm2(self.convolution2(branch))).relu()


class ResNet(nn.Module):
    """A stem, three stages of residual blocks and a linear layer on the mean over positions; see `resnet`.

    >>> import thalweg as tw
    >>> net = tw.nets.resnet(width=8)
    >>> type(net).__name__, len(net.stages)
    ('ResNet', 3)
    """

    def __init__(self, width: int, blocks: int, classes: int, channels: int, norm: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), normalization(norm, width))
        stages, fan_in = [], width
        for stage in range(_STAGES):
            fan_out = width * 2**stage
            first = ResidualBlock(fan_in, fan_out, 1 if stage == 0 else 2, norm)
            stages.append(nn.Sequential(first, *(ResidualBlock(fan_out, fan_out, 1, norm) for _ in range(blocks - 1))))
            fan_in = fan_out
        self.stages = nn.Sequential(*stages)
        self.output = nn.Linear(fan_in, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, classes)."""
        return self.output(self.stages(self.stem(x).relu()).mean((-2, -1)))


def resnet(
    width: int = 16,
    blocks: int = 1,
    classes: int = 10,
    image: tuple[int, int, int] = (1, 8, 8),
    *,
    norm: str = "batch",
) -> ResNet:
    """The residual network of the CIFAR experiments: (batch, *image) -> (batch, classes).

    6 * blocks + 2 layers in three stages of `width`, 2 and 4 times `width` channels; the second and third
    halve the image. Shortcuts that change shape are 1x1 convolutions. Convolutions start normal with
    variance 2 / fan_out (He et al., arXiv:1502.01852), the linear layer as torch starts it.

    Args:
        width: channels of the first stage; 16 in the paper.
        blocks: residual blocks per stage; 3 is ResNet-20.
        classes: outputs.
        image: channels, height and width of the inputs.
        norm: "batch" (running statistics are buffers) or "group" (8 groups, no state and no dependence
            between examples; Wu and He, arXiv:1803.08494).

    Raises:
        UsageError: an image below 4x4, or a width that 8 groups do not divide.

    Source: He et al., Deep Residual Learning, arXiv:1512.03385.

    >>> import thalweg as tw
    >>> net = tw.nets.resnet(width=8)
    >>> sum(p.numel() for p in net.parameters())
    19810
    """
    if norm not in _NORMS:
        raise unknown_name("norm", norm, _NORMS)
    check_sizes("resnet", {"width": width, "blocks": blocks, "classes": classes})
    check_image("resnet", image)
    if min(image[1:]) < 4:
        msg = f"resnet halves the image twice and needs at least 4x4 pixels; got {image[1]}x{image[2]}."
        raise UsageError(msg)
    if norm == "group" and width % _GROUPS:
        larger = -(-width // _GROUPS) * _GROUPS
        msg = f"norm='group' has {_GROUPS} groups, which do not divide width={width}; try width={larger}."
        raise UsageError(msg)
    return ResNet(width, blocks, classes, image[0], norm)


def normalization(norm: str, channels: int) -> nn.Module:
    """A fresh normalization layer over channels."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(_GROUPS, channels)
