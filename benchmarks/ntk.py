"""Tangent kernels against neural-tangents 0.6.5 in one run, with and without its compilation.

    python benchmarks/ntk.py --neural-tangents PYTHON

PYTHON is that of an environment of its own, since the package does not import under today's JAX:

    python3.11 -m venv theirs
    theirs/bin/pip install neural-tangents==0.6.5 jax==0.4.30 jaxlib==0.4.30 "numpy<2" "scipy<1.14" setuptools
    python benchmarks/ntk.py --neural-tangents theirs/bin/python

Without it only our side is measured. Theirs runs in a process that stays alive, and calls take turns, so that both
meet the same machine. A first call traces, and compiles where it does; warm ones are medians. "Theirs" is the fastest
of its ways: with and without jax.jit, and for finite networks by Jacobian contraction and by products with vectors (its
structured derivatives do not run under JAX 0.4.30). Times are of the processor, of all threads together, and in
brackets those that passed, which other work on the machine lengthens. Computed in float32 as is the default of both;
the values are compared in float64 too, on few inputs. A finite network of many examples: `ntk_empirical.py`.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import thalweg as tw

REPEATS, LONG = 3, 20.0  # warm calls; of one that takes so many seconds there is no other
FEW = 8  # inputs on which values are compared in float64
WEIGHT_STD, BIAS_STD = 1.4, 0.1
EXACT, SINGLE = 1e-6, 1e-3  # largest differences allowed, of the largest value
THEIRS = Path(__file__).with_name("ntk_neural_tangents.py")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        title: of the line.
        shape: of the inputs.
        kind: "analytic" or "empirical".
        layers: of an analytic kernel.
        network: of an empirical one.
    """

    title: str
    shape: tuple[int, ...]
    kind: str = "analytic"
    layers: tuple[str, ...] = ()
    network: str = ""
    weight_std: float = WEIGHT_STD
    bias_std: float = BIAS_STD

    @property
    def modes(self) -> tuple[str, ...]:
        """Ways of theirs."""
        return ("analytic",) if self.kind == "analytic" else ("contraction", "products")


def dense(activation: str, depth: int) -> tuple[str, ...]:
    """So many hidden layers."""
    return ("linear", activation) * depth + ("linear",)


ROWS = (
    Row("empirical, 64-512-512-10, 256 inputs", (256, 64), "empirical", network="mlp"),
    Row("empirical, convnet 16-32, 64 of 8 x 8", (64, 1, 8, 8), "empirical", network="convnet"),
    Row("ReLU, depth 3, 2,000 inputs", (2000, 64), layers=dense("relu", 3)),
    Row("ReLU, depth 5, 2,000 inputs", (2000, 64), layers=dense("relu", 5)),
    Row("erf, depth 3, 1,000 inputs", (1000, 64), layers=dense("erf", 3)),
    Row("GELU, depth 3, 1,000 inputs", (1000, 64), layers=dense("gelu", 3)),
    Row("4 x conv 3 x 3, mean, 64 of 8 x 8", (64, 3, 8, 8), layers=("conv", "relu") * 4 + ("mean", "linear")),
    Row("4 x conv 3 x 3, flatten, 64 of 8 x 8", (64, 3, 8, 8), layers=("conv", "relu") * 4 + ("flatten", "linear")),
)


@dataclass
class Times:
    """Of one contestant: wall and processor seconds of its calls, the first one apart."""

    first: tuple[float, float] = (0.0, 0.0)
    warm: list[tuple[float, float]] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """The median of warm calls."""
        return statistics.median(one for one, _ in self.warm)

    @property
    def processor(self) -> float:
        """Likewise."""
        return statistics.median(one for _, one in self.warm)

    @property
    def long(self) -> bool:
        """Whether one call is enough."""
        return any(wall > LONG for wall, _ in self.warm)


class Erf(nn.Module):
    """The error function."""

    def forward(self, x: Tensor) -> Tensor:
        """erf(x)."""
        return torch.erf(x)


def module_of(row: Row) -> nn.Sequential:
    """An ordinary module, whose widths are of no consequence in the limit."""
    channels, wide, size = row.shape[1], 128, int(np.prod(row.shape[2:]))
    made: list[nn.Module] = []
    for name in row.layers:
        if name == "linear":
            made.append(nn.Linear(channels, wide))
        elif name == "conv":
            made.append(nn.Conv2d(channels, wide, 3, padding=1))
        elif name == "mean":
            made += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        else:
            made.append({"relu": nn.ReLU, "erf": Erf, "gelu": nn.GELU, "flatten": nn.Flatten}[name]())
        channels = wide if name in ("linear", "conv") else channels * size if name == "flatten" else channels
    return nn.Sequential(*made)


def network_of(row: Row) -> nn.Sequential:
    """The finite network."""
    return tw.nets.mlp(64, 512, 512, 10) if row.network == "mlp" else tw.nets.convnet((16, 32), 10)


def analytic(row: Row, inputs: Tensor, file: Path) -> Callable[[], Tensor]:
    """A call that computes both kernels, in the dtype of the inputs."""
    np.savez(file, inputs=inputs.numpy())
    limit = tw.ntk.infinite(
        module_of(row).to(inputs.dtype),
        weight_std=row.weight_std,
        bias_std=row.bias_std,
        dtype=inputs.dtype,
        progress=None,
    )

    def kernels() -> Tensor:
        found = limit.kernels(inputs)
        return torch.stack([found.nngp, found.ntk])

    return kernels


def empirical(row: Row, inputs: Tensor, file: Path) -> Callable[[], Tensor]:
    """A call that computes all pairs of outputs, in the dtype of the inputs."""
    labels = torch.arange(len(inputs)) % 10
    problem = tw.Problem(lambda: network_of(row).to(inputs.dtype), (inputs, labels), metrics={})
    population = problem.initialize(1)
    arrays = {name: one.detach().numpy() for name, one in population.module(0).named_parameters()}
    np.savez(file, inputs=inputs.numpy(), **arrays)
    return lambda: tw.ntk.empirical_kernels(problem, population, inputs, memory_budget=2**31)[0]


def ours(row: Row, inputs: Tensor, file: Path) -> Callable[[], Tensor]:
    """Our side of a row; its data in a file, for theirs."""
    return (analytic if row.kind == "analytic" else empirical)(row, inputs, file)


class Theirs:
    """The process that has neural-tangents.

    Args:
        python: of its environment.
        folder: for files.
    """

    def __init__(self, python: str, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [python, str(THEIRS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "errors").open("w"),
            text=True,
        )
        self.versions = self._answer()["versions"]

    def ask(self, **order: Any) -> dict[str, Any]:
        """One order, and its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def saved(self, **order: Any) -> np.ndarray:
        """An order that ends in a file."""
        key, file = "exact" if "row" in order else "save", str(self.folder / "found.npy")
        self.ask(**{key: file}, **order)
        return np.load(file)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise SystemExit((self.folder / "errors").read_text()[-3000:])
        return json.loads(line)


def difference(found: Tensor, wanted: np.ndarray) -> float:
    """The largest, of the largest value."""
    return float(np.abs(found.numpy() - wanted).max() / np.abs(wanted).max())


def measured(work: Callable[[], Tensor]) -> tuple[Tensor, tuple[float, float]]:
    """What a call gives, its wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, (time.perf_counter() - wall, time.process_time() - processor)


def line(row: Row, theirs: Theirs | None, folder: Path) -> str:
    """One line of the table."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(row.shape, generator=draw)
    work = ours(row, inputs, folder / "data.npz")
    times: dict[str, Times] = {"ours": Times()}
    if theirs is not None:
        theirs.ask(prepare=asdict(row), data=str(folder / "data.npz"), modes=row.modes)
        times |= {f"{mode} {compiled}": Times() for mode in row.modes for compiled in (False, True)}
    found = torch.empty(0)
    for turn in range(1 + REPEATS):
        for name, one in times.items():
            if one.long:
                continue
            if name == "ours":
                found, took = measured(work)
            else:
                assert theirs is not None
                answer = theirs.ask(run=name)
                took = answer["wall"], answer["processor"]
            if turn:
                one.warm.append(took)
            else:
                one.first = took
    us = times.pop("ours")
    text = f"{row.title:40s} {us.first[1]:6.2f} {us.processor:7.3f} ({us.wall:6.3f})"
    if theirs is None:
        return text
    texts = [text]
    for compiled in (False, True):
        name = min((name for name in times if name.endswith(str(compiled))), key=lambda name: times[name].processor)
        them = times[name]
        texts.append(f"{them.first[1]:6.2f} {them.processor:7.3f} ({them.wall:6.3f})")
    fastest = min(times.values(), key=lambda one: one.processor)
    theirs.ask(run=name)
    single = difference(found, theirs.saved())
    few = inputs[:FEW].double()
    exact_ours = ours(row, few, folder / "few.npz")()
    exact = difference(exact_ours, theirs.saved(row=asdict(row), data=str(folder / "few.npz"), mode=row.modes[0]))
    assert exact < EXACT, f"{row.title}: the kernels differ by {exact:.1e} in float64."
    assert single < SINGLE, f"{row.title}: the kernels differ by {single:.1e} in float32."
    quickest = min(one.wall for one in times.values())
    texts.append(f"{fastest.processor / us.processor:6.1f}x ({quickest / us.wall:6.1f}x)  {exact:.0e} {single:.0e}")
    return " | ".join(texts)


def processor() -> str:
    """The name of it, as Linux has it."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return next((one.partition(":")[2].strip() for one in text.splitlines() if one.startswith("model name")), "unknown")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neural-tangents", metavar="PYTHON", help="the Python that has neural-tangents")
    parser.add_argument("--only", default="", help="rows whose title has this in it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = Theirs(given.neural_tangents, folder) if given.neural_tangents else None
        print(
            f"{processor()}; torch {torch.__version__}, {torch.get_num_threads()} threads; {theirs and theirs.versions}"
        )
        print("seconds of the processor: first call, warm call (passed)")
        heads = ["ours", "theirs, not compiled", "theirs, compiled", "ratio, differences in float64, float32"]
        print(f"{'':40s} " + " | ".join(f"{one:24s}" for one in heads[: None if theirs else 1]), flush=True)
        for row in ROWS:
            if given.only in row.title:
                print(line(row, theirs, folder), flush=True)


if __name__ == "__main__":
    main()
