"""Small convolutional networks, for images and for signals."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from thalweg.errors import UsageError, check_type
from thalweg.nets.activations import activation_named
from thalweg.nets.sizes import check_image, check_sizes


def convnet(
    channels: Sequence[int] = (16, 32),
    classes: int = 10,
    image: tuple[int, int, int] = (1, 8, 8),
    *,
    activation: str = "relu",
) -> nn.Sequential:
    """Stages of 3x3 convolution, activation and 2x2 average pooling, then one linear layer.

    (batch, *image) -> (batch, classes). Average rather than maximum pooling: it is linear, so the net is as
    smooth as its activation and has a known infinite-width limit. Starts as torch starts its layers.

    Args:
        channels: of every stage; each halves the image.
        classes: outputs.
        image: channels, height and width of the inputs.
        activation: as in `mlp`.

    Raises:
        UsageError: the image is too small for that many stages.

    >>> import thalweg as tw
    >>> net = tw.nets.convnet((4, 8))
    >>> sum(p.numel() for p in net.parameters())
    666
    """
    check_image("convnet", image)
    if not isinstance(channels, Sequence):
        msg = f"convnet needs channels of every stage, for example (16, 32); got {channels!r}."
        raise UsageError(msg)
    depth, height, width = image
    check_sizes("convnet", {f"channels[{i}]": c for i, c in enumerate(channels)} | {"classes": classes})
    shrink = 2 ** len(channels)
    if not channels or min(height, width) < shrink:
        msg = (
            f"convnet has at least one stage and each halves the image; got channels={tuple(channels)}, "
            f"and {height}x{width} can be halved {min(height, width).bit_length() - 1} times."
        )
        raise UsageError(msg)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (fan_in, fan_out) in enumerate(pairwise((depth, *channels)), start=1):
        layers[f"convolution{number}"] = nn.Conv2d(fan_in, fan_out, 3, padding=1)
        layers[f"activation{number}"] = activation_named(activation)
        layers[f"pool{number}"] = nn.AvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear(channels[-1] * (height // shrink) * (width // shrink), classes)
    return nn.Sequential(layers)


def convnet1d(channels: int = 25, classes: int = 10, length: int = 40, *, activation: str = "relu") -> nn.Sequential:
    """The convolutional baseline of MNIST-1D: (batch, length) -> (batch, classes).

    Three convolutions of stride 2 (kernels 5, 3, 3, padding 1), then one linear layer; 5,210 parameters with
    its defaults (Greydanus and Kobak, arXiv:2011.14439).

    Raises:
        UsageError: a length below 3.

    >>> import thalweg as tw
    >>> net = tw.nets.convnet1d()
    >>> sum(p.numel() for p in net.parameters())
    5210
    """
    check_sizes("convnet1d", {"channels": channels, "classes": classes, "length": length})
    if length < 3:
        msg = f"convnet1d needs signals of at least 3 points for its first kernel; got length={length}."
        raise UsageError(msg)
    layers: OrderedDict[str, nn.Module] = OrderedDict(unflatten=nn.Unflatten(1, (1, length)))
    for number, (fan_in, kernel) in enumerate(((1, 5), (channels, 3), (channels, 3)), start=1):
        layers[f"convolution{number}"] = nn.Conv1d(fan_in, channels, kernel, stride=2, padding=1)
        layers[f"activation{number}"] = activation_named(activation)
        length = (length + 2 - kernel) // 2 + 1
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear(channels * length, classes)
    return nn.Sequential(layers)


def signal_convnet(
    channels: int = 16,
    classes: int = 10,
    length: int = 40,
    *,
    strides: Sequence[int] = (2, 2, 2, 1),
    kernel: int = 5,
    scale: float = 1.0,
) -> nn.Sequential:
    """Convolutions with batch normalization and ReLU, the mean over positions, a linear layer.

    (batch, length) -> (batch, classes), with one convolution a stride and as many channels in each. Convolutions have
    no biases and start normal with variance 2 / fan-in (He et al., arXiv:1502.01852), the linear layer as torch starts
    it. Unlike `convnet1d` it does not diverge at large rates: behind a normalization only the direction of weights
    matters.

    Args:
        channels: of every convolution.
        classes: outputs.
        length: of the signals.
        strides: of the convolutions.
        kernel: their width, an odd number.
        scale: at which the scales of the normalization layers start; 0.5 where they are pruned by their size (Liu et
            al., 2017, arXiv:1708.06519).

    Raises:
        UsageError: a size below 1, an even kernel, no convolution, or a scale that is not positive.

    >>> import thalweg as tw
    >>> net = tw.nets.signal_convnet()
    >>> sum(p.numel() for p in net.parameters())
    4218
    """
    check_type("signal_convnet strides", strides, Sequence, "a stride for every convolution, such as (2, 2, 2, 1)")
    sizes = {"channels": channels, "classes": classes, "length": length, "kernel": kernel}
    check_sizes("signal_convnet", sizes | {f"strides[{i}]": stride for i, stride in enumerate(strides)})
    if not strides or kernel % 2 == 0 or not scale > 0:
        msg = (
            "signal_convnet has at least one convolution, an odd kernel and a positive scale; got "
            f"strides={tuple(strides)}, kernel={kernel} and scale={scale}."
        )
        raise UsageError(msg)
    layers: OrderedDict[str, nn.Module] = OrderedDict(unflatten=nn.Unflatten(1, (1, length)))
    for number, stride in enumerate(strides, start=1):
        fan_in = 1 if number == 1 else channels
        convolution = nn.Conv1d(fan_in, channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        norm = nn.BatchNorm1d(channels)
        nn.init.constant_(norm.weight, scale)
        layers |= {f"convolution{number}": convolution, f"norm{number}": norm, f"activation{number}": nn.ReLU()}
    layers["mean"] = nn.AdaptiveAvgPool1d(1)
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)
