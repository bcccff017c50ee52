"""Kernels as neural-tangents gives them, recorded for the tests.

In an environment of its own (Python 3.11), since the package does not import under today's JAX:

    pip install neural-tangents==0.6.5 jax==0.4.30 jaxlib==0.4.30 "numpy<2" "scipy<1.14" setuptools
    python benchmarks/neural_tangents_reference.py tests/ntk/recorded/neural_tangents.json

Conventions, also written into the file: NTK parameterization, z = weight_std W x / sqrt(fan_in) + bias_std b with all
of W and b from N(0, 1), the same weight_std and bias_std in every layer, the last included; kernels of one output
channel, float64. Images are (channels, height, width), as in torch, and sequences (tokens, channels).
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from neural_tangents import stax

jax.config.update("jax_enable_x64", True)

WEIGHT_STD, BIAS_STD, WIDTH = 1.5, 0.1, 32
CONVENTIONS = (
    "NTK parameterization: z = weight_std W x / sqrt(fan_in) + bias_std b, all N(0, 1), the same in every layer, the "
    "last included. Kernels of one output channel at infinite width, float64: [first inputs][second inputs]. Images "
    "are (channels, height, width); sequences (tokens, channels). Padding 'same' is one zero cell on each side of a "
    "3 x 3 filter, divided by 9 at the border too. Pooling is average pooling without padding. Attention has heads and "
    "head size to infinity: '1/d' ties queries and keys, '1/sqrt(d)' does not; value, output, query and key weight_std "
    "are all weight_std, and bias_std is that of the output projection alone. Layer norm has no gain, no shift and "
    "eps 1e-12."
)


def dense() -> Any:
    """A dense layer on the channels."""
    return stax.Dense(WIDTH, W_std=WEIGHT_STD, b_std=BIAS_STD)


def conv(size: tuple[int, ...], padding: str, stride: int = 1) -> Any:
    """A convolution, channels last."""
    return stax.Conv(WIDTH, size, (stride,) * len(size), padding, W_std=WEIGHT_STD, b_std=BIAS_STD)


def attention(*, tied: bool, score: str) -> Any:
    """Self-attention over all positions, without positional encoding."""
    return stax.GlobalSelfAttention(
        WIDTH,
        WIDTH,
        WIDTH,
        8,
        linear_scaling=tied,
        W_key_std=WEIGHT_STD,
        W_value_std=WEIGHT_STD,
        W_query_std=WEIGHT_STD,
        W_out_std=WEIGHT_STD,
        b_std=BIAS_STD,
        attention_mechanism=score,
    )


def deep(activation: Any) -> list[Any]:
    """Three hidden layers."""
    return [dense(), activation, dense(), activation, dense(), activation, dense()]


def cases() -> dict[str, tuple[str, str, list[Any]]]:
    """Name, which inputs, what the layers are, and the layers."""
    relu, flat, mean = stax.Relu(), stax.Flatten(), stax.GlobalAvgPool()
    same, circular = conv((3, 3), "SAME"), conv((3, 3), "CIRCULAR")
    normed = stax.LayerNorm(axis=-1, eps=1e-12)
    return {
        "dense relu": ("vectors", "3 x (linear, relu), linear", deep(relu)),
        "dense erf": ("vectors", "3 x (linear, erf), linear", deep(stax.Erf())),
        "dense gelu": ("vectors", "3 x (linear, exact gelu), linear", deep(stax.Gelu())),
        "dense leaky relu": ("vectors", "3 x (linear, leaky_relu 0.1), linear", deep(stax.LeakyRelu(0.1))),
        "dense abs": ("vectors", "3 x (linear, abs), linear", deep(stax.Abs())),
        "dense sin": ("vectors", "3 x (linear, sin), linear", deep(stax.Sin())),
        "dense layer norm": (
            "vectors",
            "linear, layer norm, relu, linear, layer norm, relu, linear",
            [dense(), normed, relu, dense(), normed, relu, dense()],
        ),
        "dense residual": (
            "vectors",
            "linear, x + (relu, linear)(x), relu, linear",
            [
                dense(),
                stax.FanOut(2),
                stax.parallel(stax.Identity(), stax.serial(relu, dense())),
                stax.FanInSum(),
                relu,
                dense(),
            ],
        ),
        "conv flatten": (
            "images",
            "2 x (conv 3x3 same, relu), flatten, linear",
            [same, relu, same, relu, flat, dense()],
        ),
        "conv mean": (
            "images",
            "2 x (conv 3x3 same, relu), global mean, linear",
            [same, relu, same, relu, mean, dense()],
        ),
        "conv erf mean": (
            "images",
            "2 x (conv 3x3 same, erf), global mean, linear",
            [same, stax.Erf(), same, stax.Erf(), mean, dense()],
        ),
        "conv circular mean": (
            "images",
            "2 x (conv 3x3 circular, relu), global mean, linear",
            [circular, relu, circular, relu, mean, dense()],
        ),
        "conv circular flatten": (
            "images",
            "2 x (conv 3x3 circular, relu), flatten, linear",
            [circular, relu, circular, relu, flat, dense()],
        ),
        "conv stride flatten": (
            "images",
            "conv 3x3 stride 2 no padding, relu, conv 2x2 no padding, relu, flatten, linear",
            [conv((3, 3), "VALID", 2), relu, conv((2, 2), "VALID"), relu, flat, dense()],
        ),
        "conv stride mean": (
            "images",
            "conv 2x2 stride 2 no padding, relu, conv 3x3 same, relu, global mean, linear",
            [conv((2, 2), "VALID", 2), relu, same, relu, mean, dense()],
        ),
        "conv pool flatten": (
            "images",
            "conv 3x3 same, relu, mean pool 2x2 stride 2, conv 3x3 same, relu, flatten, linear",
            [same, relu, stax.AvgPool((2, 2), (2, 2), "VALID"), same, relu, flat, dense()],
        ),
        "conv 1d mean": (
            "sequences",
            "2 x (conv 3 same over tokens, relu), global mean, linear",
            [conv((3,), "SAME"), relu, conv((3,), "SAME"), relu, mean, dense()],
        ),
        "attention 1/d softmax": (
            "sequences",
            "linear, relu, attention 1/d softmax, mean over tokens, linear",
            [dense(), relu, attention(tied=True, score="SOFTMAX"), mean, dense()],
        ),
        "attention 1/d relu": (
            "sequences",
            "linear, relu, attention 1/d relu, relu, flatten, linear",
            [dense(), relu, attention(tied=True, score="RELU"), relu, flat, dense()],
        ),
        "attention 1/sqrt(d) identity": (
            "sequences",
            "linear, relu, attention 1/sqrt(d) identity, mean over tokens, linear",
            [dense(), relu, attention(tied=False, score="IDENTITY"), mean, dense()],
        ),
    }


def inputs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """First and second inputs of each kind; the last of the second is the first of the first."""
    random = np.random.RandomState(0)
    drawn = {}
    for kind, shape in {"vectors": (6,), "images": (2, 6, 6), "sequences": (4, 3)}.items():
        first, second = random.randn(4, *shape), random.randn(3, *shape)
        second[-1] = first[0]
        drawn[kind] = (np.round(first, 3), np.round(second, 3))
    return drawn


def as_stax(values: np.ndarray) -> np.ndarray:
    """Channels last."""
    return np.moveaxis(values, 1, -1) if values.ndim == 4 else values


def infinite() -> dict[str, Any]:
    """The kernels of every case."""
    given = inputs()
    found = {}
    for name, (kind, layers, built) in cases().items():
        first, second = (as_stax(values) for values in given[kind])
        kernel = stax.serial(*built)[2](first, second, ("nngp", "ntk"))
        found[name] = {
            "inputs": kind,
            "layers": layers,
            "nngp": np.asarray(kernel.nngp).tolist(),
            "ntk": np.asarray(kernel.ntk).tolist(),
        }
    return found


def multilayer(parameters: dict[str, Any], x: Any) -> Any:
    """Torch's Linear, Tanh, Linear."""
    hidden = jnp.tanh(x @ parameters["0.weight"].T + parameters["0.bias"])
    return hidden @ parameters["2.weight"].T + parameters["2.bias"]


def convolutional(parameters: dict[str, Any], x: Any) -> Any:
    """Torch's Conv2d(2, 3, 3, padding=1), Tanh, Flatten, Linear."""
    hidden = jax.lax.conv_general_dilated(x, parameters["0.weight"], (1, 1), "SAME")
    hidden = jnp.tanh(hidden + parameters["0.bias"][None, :, None, None])
    return hidden.reshape(len(x), -1) @ parameters["3.weight"].T + parameters["3.bias"]


def empirical() -> dict[str, Any]:
    """Tangent kernels of networks with given weights, every pair of outputs: [first][second][output][output]."""
    random = np.random.RandomState(1)
    networks: dict[str, tuple[str, str, Callable[..., Any], dict[str, tuple[int, ...]]]] = {
        "mlp": (
            "vectors",
            "Linear(6, 5), Tanh, Linear(5, 3)",
            multilayer,
            {"0.weight": (5, 6), "0.bias": (5,), "2.weight": (3, 5), "2.bias": (3,)},
        ),
        "conv": (
            "images",
            "Conv2d(2, 3, 3, padding=1), Tanh, Flatten, Linear(108, 2)",
            convolutional,
            {"0.weight": (3, 2, 3, 3), "0.bias": (3,), "3.weight": (2, 108), "3.bias": (2,)},
        ),
    }
    found = {}
    for name, (kind, layers, function, shapes) in networks.items():
        first, second = inputs()[kind]
        parameters = {one: np.round(random.randn(*shape) / 2, 3) for one, shape in shapes.items()}
        kernel = nt.empirical_ntk_fn(function, trace_axes=())(first, second, parameters)
        found[name] = {
            "inputs": kind,
            "layers": layers,
            "parameters": {one: values.tolist() for one, values in parameters.items()},
            "ntk": np.asarray(kernel).tolist(),
        }
    return found


def dynamics() -> dict[str, Any]:
    """Gradient flow on the kernels of "dense erf": loss 1/2 mean (f - y)^2 over inputs and outputs."""
    first, second = inputs()["vectors"]
    second = second[:2]
    kernel_of = stax.serial(*deep(stax.Erf()))[2]
    targets, start, start_test = np.array([[1.0], [-1.0], [0.5], [0.0]]), np.full((4, 1), 0.25), np.full((2, 1), -0.5)
    train, test = kernel_of(first, None, "ntk"), kernel_of(second, first, "ntk")
    times = [0.0, 0.5, 5.0]
    flow = nt.predict.gradient_descent_mse(train, targets)
    ensemble = nt.predict.gradient_descent_mse_ensemble(kernel_of, first, targets)
    flows = [flow(time, start, start_test, test) for time in times]
    means = [ensemble(time, second, "ntk", compute_cov=True) for time in times]
    posterior = ensemble(None, second, "nngp", compute_cov=True)
    return {
        "loss": "1/2 mean over inputs and outputs of (f - y)^2, learning rate 1, time t",
        "targets": targets.tolist(),
        "start": start.tolist(),
        "start test": start_test.tolist(),
        "times": times,
        "train": [np.asarray(one[0]).tolist() for one in flows],
        "test": [np.asarray(one[1]).tolist() for one in flows],
        "ensemble mean": [np.asarray(one.mean).tolist() for one in means],
        "ensemble covariance": [np.asarray(one.covariance).tolist() for one in means],
        "posterior mean": np.asarray(posterior.mean).tolist(),
        "posterior covariance": np.asarray(posterior.covariance).tolist(),
    }


def main() -> None:
    """Write the file that is named on the command line."""
    recorded = {
        "recipe": "python benchmarks/neural_tangents_reference.py tests/ntk/recorded/neural_tangents.json",
        "versions": {name: version(name) for name in ("neural-tangents", "jax", "jaxlib", "numpy", "scipy")}
        | {"python": ".".join(map(str, sys.version_info[:3]))},
        "conventions": CONVENTIONS,
        "weight_std": WEIGHT_STD,
        "bias_std": BIAS_STD,
        "inputs": {kind: [values.tolist() for values in pair] for kind, pair in inputs().items()},
        "infinite": infinite(),
        "empirical": empirical(),
        "dynamics": dynamics(),
    }
    Path(sys.argv[1]).write_text(json.dumps(recorded, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
