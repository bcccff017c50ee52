"""The check every net makes of its sizes."""

from collections.abc import Sequence

import numpy as np

from thalweg.errors import UsageError


def check_image(net: str, image: Sequence[int]) -> None:
    """Raise UsageError unless an image is channels, height and width, each an integer of at least 1."""
    if not isinstance(image, Sequence) or len(image) != 3:
        msg = f"{net} needs image to be (channels, height, width), for example (1, 8, 8); got {image!r}."
        raise UsageError(msg)
    check_sizes(net, {f"image[{i}]": size for i, size in enumerate(image)})


def check_sizes(net: str, sizes: dict[str, int]) -> None:
    """Raise UsageError naming the first size that is not an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            msg = f"{net} needs {name} to be an integer of at least 1; got {size!r}."
            raise UsageError(msg)
