"""Tangent kernels of finite networks against torch.func's Jacobian contraction, side by side in one run.

    python benchmarks/ntk_empirical.py

The contraction is that of torch's own tutorial: Jacobians of every parameter by vmap(jacrev), multiplied and summed.
Times are of the processor, of all threads together, as other work on the machine does not count then.
"""

import contextlib
import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

import thalweg as tw

REPEATS = 3
BUDGET = 2**30


class Block(nn.Module):
    """Two convolutions with batch normalization, and a shortcut."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(fan_out), nn.BatchNorm2d(fan_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, fan_in, height, width) -> (batch, fan_out, height / stride, width / stride)."""
        branch = self.norm2(self.second(self.norm1(self.first(x)).relu()))
        return (branch + self.shortcut(x)).relu()


def resnet18() -> nn.Module:
    """11.2 million parameters, for images of 32 x 32."""
    stages: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    fan_in = 64
    for fan_out in (64, 128, 256, 512):
        stages += [Block(fan_in, fan_out, 1 if fan_out == fan_in else 2), Block(fan_out, fan_out, 1)]
        fan_in = fan_out
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def contraction(problem: tw.Problem, population: tw.Population, inputs: Tensor) -> Tensor:
    """The kernel of the first member, by torch.func."""
    module = population.module(0).eval()
    parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}

    def outputs(parameters: dict[str, Tensor], example: Tensor) -> Tensor:
        return functional_call(module, parameters, (example.unsqueeze(0),)).squeeze(0)

    jacobians = torch.vmap(jacrev(outputs), (None, 0))(parameters, inputs)
    flat = [jacobian.flatten(2) for jacobian in jacobians.values()]
    return torch.stack([torch.einsum("acp,bdp->abcd", one, one) for one in flat]).sum(0)


def timed(work: Callable[..., Any], *given: Any, repeats: int = REPEATS, **options: Any) -> tuple[float, Any]:
    """The median of processor seconds, and the result."""
    seconds, result = [], None
    for _ in range(repeats):
        started = time.process_time()
        result = work(*given, **options)
        seconds.append(time.process_time() - started)
    return statistics.median(seconds), result


def problem_of(model: Callable[[], nn.Module], *shape: int, count: int = 256) -> tw.Problem:
    """On random inputs of a shape."""
    draw = torch.Generator().manual_seed(0)
    return tw.Problem(model, (torch.randn(count, *shape, generator=draw), torch.arange(count) % 10), metrics={})


def compared(title: str, problem: tw.Problem, count: int) -> str:
    """A line on both, on as many examples."""
    population, inputs = problem.initialize(1), problem.data.train.inputs[:count]
    tw.ntk.empirical_kernels(problem, population, inputs[:2])  # traces the model
    ours, found = timed(tw.ntk.empirical_kernels, problem, population, inputs, memory_budget=2 * BUDGET)
    theirs, wanted = timed(contraction, problem, population, inputs, repeats=1)
    off = float((found[0] - wanted).abs().max() / wanted.abs().max())
    return f"{title:44s} {ours:6.2f} s, torch.func {theirs:6.2f} s: {theirs / ours:5.1f}x; they differ by {off:.0e}"


def alone(title: str, problem: tw.Problem, members: int, count: int, **options: Any) -> str:
    """A line on one that the contraction cannot hold in memory."""
    population, inputs = problem.initialize(members), problem.data.train.inputs[:count]
    tw.ntk.empirical_kernels(problem, population[:2], inputs[:2])
    repeats = 1 if members == 1 else REPEATS
    seconds, _ = timed(tw.ntk.empirical_kernels, problem, population, inputs, repeats=repeats, **options)
    return f"{title:44s} {seconds:6.2f} s"


@contextlib.contextmanager
def watched() -> Iterator[list[int]]:
    """The bytes that the process holds, every few milliseconds, the first before the work."""
    held, done = [resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.003):
            held.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield held
    finally:
        done.set()
        watcher.join()


def resident() -> int:
    """Bytes in memory, as Linux has it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak(title: str, problem: tw.Problem, count: int) -> str:
    """A line on time and memory within a budget."""
    population, inputs = problem.initialize(1), problem.data.train.inputs[:count]
    tw.ntk.empirical_kernels(problem, population, inputs[:1], outputs="sum")
    gc.collect()
    started, processor = time.perf_counter(), time.process_time()
    with watched() as held:
        tw.ntk.empirical_kernels(problem, population, inputs, memory_budget=BUDGET)
    seconds, wall = time.process_time() - processor, time.perf_counter() - started
    return (
        f"{title:44s} {seconds:6.2f} s ({wall:.1f} s passed), {(max(held) - held[0]) / 2**20:,.0f} MiB in memory, of a "
        f"budget of {BUDGET / 2**20:,.0f}"
    )


def main() -> None:
    """Print all comparisons."""
    print(f"{torch.get_num_threads()} threads, medians of {REPEATS}:")
    print(peak("ResNet-18, 16 images of 32 x 32, full", problem_of(resnet18, 3, 32, 32, count=16), 16))
    perceptron = problem_of(lambda: tw.nets.mlp(64, 512, 512, 10), 64)
    print(compared("64-512-512-10, 64 inputs, full", perceptron, 64))
    print(alone("64-512-512-10, 256 inputs, full", perceptron, 1, 256, memory_budget=2 * BUDGET))
    print("  (neural-tangents 0.6.5 took 10.0 s for this on two cores)")
    print(compared("convnet 16-32, 64 images of 8 x 8, full", problem_of(tw.nets.convnet, 1, 8, 8), 64))
    small = problem_of(lambda: tw.nets.mlp(8, 128, 128, 10), 8)
    for outputs in ("full", "trace"):
        title = f"1,000 of 8-128-128-10, 24 inputs, {outputs}"
        print(alone(title, small, 1_000, 24, outputs=outputs, memory_budget=2 * BUDGET))


if __name__ == "__main__":
    main()
