"""Stock modules against their limits: the mean kernel of many initializations, with the 95 % ball of its bootstrap.

    python benchmarks/stock_limits.py NETWORKS [OUT.json] [NAME ...]

Each line: how far the mean NNGP kernel (last layer integrated out) and the mean tangent kernel of networks as torch
initializes them lie from `tw.ntk.infinite(..., parameterization="as_initialized")`, and the radius of the ball that 95
of 100 means of resamples lie in; both relative to the kernel, Frobenius norms. Together they are to be below 5 %, and
below 10 % with attention. OUT.json keeps what it holds of other modules.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

import thalweg as tw
from thalweg.ntk.variances import Moments
from thalweg.randomness import global_stream

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from modules_of_limits import DEEP, STOCK


def network(make: Callable[[], nn.Module], inputs: Tensor, seed: int, moments: Moments) -> tuple[Tensor, Tensor]:
    """K given the features of the last layer, and Theta, of one network."""
    with global_stream(seed, "stock"):
        module = make()
    last = [one for one in module.modules() if isinstance(one, nn.Linear)][-1]
    features: list[Tensor] = []
    with torch.no_grad():
        hook = last.register_forward_pre_hook(lambda _, given: features.append(given[0]))
        module(inputs)
        hook.remove()
    names = {one: name for name, one in module.named_parameters()}
    weight = moments.weight(names[last.weight], last.in_features) / last.in_features
    bias = 0.0 if last.bias is None else moments.bias(names[last.bias], last.in_features)
    kernel = features[0].double() @ features[0].double().T * weight + bias
    parameters = {name: one.detach() for name, one in module.named_parameters()}
    jacobian = jacrev(lambda p: functional_call(module, p, (inputs,))[:, 0])(parameters)
    rows = torch.cat([one.reshape(len(inputs), -1) for one in jacobian.values()], 1).double()
    return kernel, rows @ rows.T


def apart(found: Tensor, limit: Tensor) -> tuple[float, float]:
    """Distance of the mean from the limit, and the radius of the ball, relative."""
    generator = torch.Generator().manual_seed(0)
    mean = found.mean(0)
    chosen = torch.randint(len(found), (200, len(found)), generator=generator)
    radii = torch.stack([(found[one].mean(0) - mean).norm() for one in chosen])
    return float((mean - limit).norm() / limit.norm()), float(radii.quantile(0.95) / limit.norm())


def main(networks: int, out: str | None, names: list[str]) -> None:
    """Print, and write, one line a module."""
    rows, modules = {}, {**STOCK, "deep": DEEP}
    if out and Path(out).exists():
        rows = json.loads(Path(out).read_text())
    for name in names or modules:
        start, stock = time.perf_counter(), modules[name]
        with global_stream(0, "stock"):
            read = tw.ntk.infinite(stock.make(), parameterization="as_initialized", progress=None)
        limit = read.kernels(stock.inputs)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            pairs = [network(stock.make, stock.inputs, seed, read.moments) for seed in range(networks)]
        kernel, tangent = (torch.stack(column) for column in zip(*pairs, strict=True))
        (k, k_ball), (t, t_ball) = apart(kernel, limit.nngp), apart(tangent, limit.ntk)
        rows[name] = {"nngp": k, "nngp ball": k_ball, "ntk": t, "ntk ball": t_ball, "networks": networks}
        seconds = time.perf_counter() - start
        print(f"{name:24s} K {k:.4f} + {k_ball:.4f}   Theta {t:.4f} + {t_ball:.4f}   {seconds:.0f} s", flush=True)
        if out:
            Path(out).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None, sys.argv[3:])
