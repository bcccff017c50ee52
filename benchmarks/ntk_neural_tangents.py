"""The neural-tangents side of `ntk.py`, which starts it in the Python that has that package and orders by a pipe.

One order a line, as JSON: {"prepare": row}, {"run": ...} or {"save": ...}; one answer a line. Inputs and parameters
come, and kernels go, in files of numpy, named in the orders.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from jax.experimental import enable_x64
from neural_tangents import stax

Kernel = Callable[[Any], Any]

CHANNELS = 8  # of hidden layers: of no consequence in the limit
MODES = {
    "contraction": nt.NtkImplementation.JACOBIAN_CONTRACTION,
    "products": nt.NtkImplementation.NTK_VECTOR_PRODUCTS,
}


def layer(name: str, weight_std: float, bias_std: float) -> Any:
    """A layer of the limit."""
    if name == "linear":
        return stax.Dense(CHANNELS, W_std=weight_std, b_std=bias_std)
    if name == "conv":
        return stax.Conv(CHANNELS, (3, 3), (1, 1), "SAME", W_std=weight_std, b_std=bias_std)
    return {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu, "flatten": stax.Flatten, "mean": stax.GlobalAvgPool}[
        name
    ]()


def analytic(row: dict[str, Any]) -> Kernel:
    """Both kernels of all pairs in the limit."""
    of = stax.serial(*(layer(name, row["weight_std"], row["bias_std"]) for name in row["layers"]))[2]

    def kernels(x: Any) -> Any:
        found = of(x, None, ("nngp", "ntk"))
        return jnp.stack([found.nngp, found.ntk])

    return kernels


def multilayer(parameters: dict[str, Any], x: Any) -> Any:
    """Linear layers with ReLU between them, named as torch's."""
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
    for name in names:
        x = x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]
        x = x if name == names[-1] else jax.nn.relu(x)
    return x


def convolutional(parameters: dict[str, Any], x: Any) -> Any:
    """Twice convolution, ReLU and average pooling of 2 x 2; a linear layer."""
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
    for name in names[:-1]:
        x = jax.lax.conv_general_dilated(x, parameters[f"{name}.weight"], (1, 1), "SAME")
        x = jax.nn.relu(x + parameters[f"{name}.bias"][None, :, None, None])
        x = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4
    return x.reshape(len(x), -1) @ parameters[f"{names[-1]}.weight"].T + parameters[f"{names[-1]}.bias"]


def empirical(row: dict[str, Any], data: Any, mode: str) -> Kernel:
    """All pairs of outputs of a network with given weights."""
    parameters = {name: jnp.asarray(data[name]) for name in data.files if name != "inputs"}
    function = {"mlp": multilayer, "convnet": convolutional}[row["network"]]
    of = nt.empirical_ntk_fn(function, trace_axes=(), vmap_axes=0, implementation=MODES[mode])

    return lambda x: of(x, None, parameters)


def prepared(row: dict[str, Any], data: Any, mode: str, compiled: bool) -> Callable[[], Any]:
    """A call that computes the kernels."""
    kernel = analytic(row) if row["kind"] == "analytic" else empirical(row, data, mode)
    x = jnp.asarray(data["inputs"])
    x = jnp.moveaxis(x, 1, -1) if row["kind"] == "analytic" and x.ndim == 4 else x
    return partial(jax.jit(kernel) if compiled else kernel, x)


def main() -> None:
    """Answer orders until the pipe ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what the package prints stays out of the answers
    print(json.dumps({"versions": {name: version(name) for name in ("neural-tangents", "jax")}}), file=answers)
    answers.flush()
    work: dict[str, Callable[[], Any]] = {}
    found: Any = None
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if "prepare" in order:
            work.clear()
            found = None
            jax.clear_caches()
            with np.load(order["data"]) as data:
                row = order["prepare"]
                for mode in order["modes"]:
                    for compiled in (False, True):
                        work[f"{mode} {compiled}"] = prepared(row, data, mode, compiled)
        elif "exact" in order:
            with enable_x64(), np.load(order["data"]) as data:
                np.save(order["exact"], np.asarray(prepared(order["row"], data, order["mode"], False)()))
        elif "save" in order:
            np.save(order["save"], np.asarray(found))
        else:
            found = None
            wall, processor = time.perf_counter(), time.process_time()
            found = jax.block_until_ready(work[order["run"]]())
            answer = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(answer), file=answers)
        answers.flush()


if __name__ == "__main__":
    main()
