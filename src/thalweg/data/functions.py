"""Known functions to learn: parity, Friedman's, and a photograph as a function of place."""

import numpy as np
import torch
from torch import Tensor

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.errors import UsageError, check_count
from thalweg.guard import guarded
from thalweg.randomness import generator


@guarded
def parity(n: int, bits: int = 12, relevant: int = 3, *, seed: int = 0, test: int = 0) -> Data:
    """Whether an even number of the first `relevant` of some random signs are negative: class 1 if so, else 0.

    >>> import torch
    >>> import thalweg as tw
    >>> data = tw.data.parity(100, bits=5, relevant=2)
    >>> signs, even = data.train.take(torch.arange(100))
    >>> torch.equal(even == 1, signs[:, 0] == signs[:, 1])
    True

    Args:
        n: training examples.
        bits: signs an example: inputs (n, bits), float32, each -1 or 1.
        relevant: how many of them count, at most `bits`.
        seed: of the streams (seed, "parity signs") and (seed, "parity test signs").
        test: held-out examples; 0 for none. With few of 2^bits examples to train on, networks may grok it: with 1,000
            of 40 bits, 3 of them relevant, an MLP 40-200-2 in batches of 32 by SGD(0.1, weight_decay=0.01) has fitted
            them at about step 1,500 and is right on 95 % of others at about 7,000; by full batches of AdamW on 500 of
            30 bits an MLP 30-100-2 has not within 1,500.

    Raises:
        UsageError: no example, or more signs count than there are.

    Source: Barak et al. (2022), Hidden progress in deep learning, arXiv:2207.08799.
    """
    check_count("parity n", n, least=1)
    check_count("parity relevant", relevant, least=1)
    if bits < relevant:
        msg = f"parity relevant must be at most bits; got {relevant} of {bits}."
        raise UsageError(msg)
    check_count("parity test", test, least=0)

    def examples(stream: str, count: int) -> Examples:
        signs = 1 - 2 * torch.randint(2, (count, bits), generator=generator(seed, stream))
        return Examples(signs.float(), (signs[:, :relevant].prod(1) > 0).long())

    held_out = examples("parity test signs", test) if test else None
    return Data(examples("parity signs", n), held_out, "parity", 2)


@guarded
def friedman(n: int, *, seed: int = 0) -> Data:
    """y = 10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 + e of ten uniform inputs, e ~ N(0, 1).

    Inputs (n, 10) and targets (n, 1), float32, are standardized; five inputs do not matter.

    >>> import thalweg as tw
    >>> len(tw.data.friedman(100).train)
    100

    Args:
        n: training examples, at least 2; nothing is held out.
        seed: of the streams (seed, "Friedman ...").

    Source: Friedman (1991), Multivariate adaptive regression splines, doi:10.1214/aos/1176347963.
    """
    check_count("friedman n", n, least=2)
    x = torch.rand(n, 10, generator=generator(seed, "Friedman inputs"))
    noise = torch.randn(n, generator=generator(seed, "Friedman noise"))
    y = 10 * torch.sin(torch.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4] + noise
    return Data(Examples(_standardized(x), _standardized(y[:, None])), None, "Friedman")


@guarded
def photograph(n: int, *, seed: int = 0) -> Data:
    """The color of a pixel from where it is, in scikit-learn's photograph of a temple.

    Inputs (n, 2), row and column, and targets (n, 3), red, green and blue, float32, are standardized.

    >>> import torch
    >>> import thalweg as tw
    >>> places, colors = tw.data.photograph(100).train.take(torch.arange(100))
    >>> places.shape, colors.shape
    (torch.Size([100, 2]), torch.Size([100, 3]))

    Args:
        n: pixels, drawn with replacement, at least 2; nothing is held out.
        seed: of the streams (seed, "pixel ...").
    """
    from sklearn.datasets import load_sample_image

    check_count("photograph n", n, least=2)
    image = torch.from_numpy(np.array(load_sample_image("china.jpg"))).float()
    rows = torch.randint(image.shape[0], (n,), generator=generator(seed, "pixel rows"))
    columns = torch.randint(image.shape[1], (n,), generator=generator(seed, "pixel columns"))
    places = torch.stack([rows, columns], 1).float()
    return Data(Examples(_standardized(places), _standardized(image[rows, columns])), None, "photograph")


def _standardized(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / values.std(0)
