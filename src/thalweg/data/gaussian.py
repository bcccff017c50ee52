"""Gaussian inputs and a known teacher: data whose truth can be written down."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.errors import UsageError, check_count, check_type
from thalweg.guard import guarded
from thalweg.randomness import generator


@guarded
def gaussian_linear(
    n: int,
    d: int,
    *,
    noise: float = 0.1,
    seed: int = 0,
    test: int = 1_000,
    signal: float = 1.0,
    variances: Sequence[float] | None = None,
) -> Data:
    """y = x . w + noise * e with x ~ N(0, diag(variances)) and e ~ N(0, 1).

    Args:
        n, d: training examples and features; inputs (n, d), targets (n, 1), float64.
        noise: standard deviation of the noise, in training and held-out targets alike.
        seed: of the streams (seed, "gaussian ...").
        test: held-out examples; 0 for none.
        signal: length of w, whose direction is uniform on the sphere.
        variances: of each feature; None: all 1. They are the eigenvalues of the expected Hessian of
            half the squared error.

    `ground_truth["coefficients"]` is w, (d, 1).

    >>> import torch
    >>> import thalweg as tw
    >>> data = tw.data.gaussian_linear(100, 5, noise=0.0, test=50)
    >>> x, y = data.train.take(torch.arange(100))
    >>> torch.allclose(x @ data.ground_truth["coefficients"], y)
    True
    """
    _check("gaussian_linear", n, d, test, noise)
    check_type("gaussian_linear signal", signal, (int, float), "the length of w, not negative")
    if not 0 <= signal < math.inf:
        msg = f"gaussian_linear signal must be finite and not negative; got {signal}."
        raise UsageError(msg)
    w = torch.randn(d, 1, generator=generator(seed, "gaussian coefficients"), dtype=torch.float64)
    w *= signal / w.norm()
    scale = torch.ones(d, dtype=torch.float64)
    if variances is not None:
        scale = torch.as_tensor(variances, dtype=torch.float64).sqrt()
        if scale.shape != (d,) or not bool((scale >= 0).all()):
            msg = f"variances needs {d} numbers, none negative; got {list(variances)}."
            raise UsageError(msg)

    def examples(role: str, count: int) -> Examples:
        x = _normal(count, d, seed, role, "inputs") * scale
        return Examples(x, x @ w + noise * _normal(count, 1, seed, role, "noise"))

    return Data(
        examples("train", n),
        examples("test", test) if test else None,
        name="gaussian_linear",
        notes=(f"linear teacher of length {signal:g} in {d:,} dimensions, noise {noise:g} (seed {seed})",),
        ground_truth={"coefficients": w},
    )


@guarded
def gaussian_teacher(
    n: int,
    d: int,
    *,
    width: int = 4,
    noise: float = 0.0,
    seed: int = 0,
    test: int = 1_000,
) -> Data:
    """y = a . relu(W x) / sqrt(width) + noise * e: a random two-layer teacher on x ~ N(0, I).

    Args:
        n, d: training examples and features; inputs (n, d), targets (n, 1), float64.
        width: hidden units of the teacher. W has entries N(0, 1/d) and a has N(0, 1), so that E[y^2]
            is 1/2 on average over noiseless teachers.
        noise: standard deviation of the noise.
        seed: of the streams (seed, "gaussian ...").
        test: held-out examples; 0 for none.

    `ground_truth["hidden"]` is W, (width, d); `ground_truth["output"]` is a / sqrt(width), (1, width).

    >>> import thalweg as tw
    >>> data = tw.data.gaussian_teacher(100, 5, test=50)
    >>> len(data.train), len(data.test), data.classes
    (100, 50, None)
    """
    _check("gaussian_teacher", n, d, test, noise)
    check_count("gaussian_teacher width", width)
    draw = generator(seed, "gaussian teacher")
    hidden = torch.randn(width, d, generator=draw, dtype=torch.float64) / d**0.5
    output = torch.randn(1, width, generator=draw, dtype=torch.float64) / width**0.5

    def examples(role: str, count: int) -> Examples:
        x = _normal(count, d, seed, role, "inputs")
        y = (x @ hidden.T).relu() @ output.T
        return Examples(x, y + noise * _normal(count, 1, seed, role, "noise"))

    return Data(
        examples("train", n),
        examples("test", test) if test else None,
        name="gaussian_teacher",
        notes=(f"relu teacher of width {width} in {d:,} dimensions, noise {noise:g} (seed {seed})",),
        ground_truth={"hidden": hidden, "output": output},
    )


def _normal(rows: int, columns: int, seed: int, role: str, purpose: str) -> Tensor:
    return torch.randn(rows, columns, generator=generator(seed, f"gaussian {role} {purpose}"), dtype=torch.float64)


def _check(name: str, n: int, d: int, test: int, noise: float) -> None:
    check_count(f"{name} n", n)
    check_count(f"{name} d", d)
    check_count(f"{name} test", test, least=0)
    check_type(f"{name} noise", noise, (int, float), "a standard deviation")
    if not 0 <= noise < math.inf:
        msg = f"{name} noise must be finite and not negative; got {noise}."
        raise UsageError(msg)
