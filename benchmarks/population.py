"""Populations against a loop of fused torch optimizers and against JAX, side by side in one run.

    python benchmarks/population.py            all sizes, with JAX if it is installed

Every figure is a median over interleaved repeats; ratios are what counts, on a machine that is never quiet.
Each arm trains the same number of MLPs on the digits with AdamW and batches of 128. JAX's time includes
compilation, as a user pays it once a shape; Thalweg's includes choosing the plan.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

import thalweg as tw
from thalweg.data import digits
from thalweg.nets import mlp

SIZES = [(64, (64, 32, 32, 10), 200), (64, (64, 128, 128, 10), 100), (16, (64, 512, 512, 10), 40)]
BATCH = 128


def thalweg_population(members: int, widths: tuple[int, ...], steps: int) -> float:
    """Seconds for `steps` steps with everything a user waits for, but not evaluation."""
    problem = tw.Problem(lambda: mlp(*widths), digits())
    recipe = tw.Recipe(tw.optim.AdamW(lr=tw.sweep.log(1e-4, 1e-2, members)), steps, BATCH, evaluate=0)
    started = time.perf_counter()
    run = tw.train(problem, recipe)
    print(f"    thalweg: {run.plan} ({run.plan.reason})")
    return time.perf_counter() - started


def torch_loop(members: int, widths: tuple[int, ...], steps: int) -> float:
    """The same with one module and one fused optimizer a member."""
    train = digits().train
    inputs, targets = train.inputs, train.targets
    modules = [mlp(*widths) for _ in range(members)]
    rates = torch.logspace(-4, -2, members).tolist()
    optimizers = [
        torch.optim.AdamW(module.parameters(), lr=rate, fused=True) for module, rate in zip(modules, rates, strict=True)
    ]
    started = time.perf_counter()
    for _ in range(steps):
        order = torch.randint(len(train), (BATCH,))
        x, y = inputs[order], targets[order]
        for module, optimizer in zip(modules, optimizers, strict=True):
            loss = F.cross_entropy(module(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - started


def jax_scan(members: int, widths: tuple[int, ...], steps: int) -> float:
    """The same as one vmapped, scanned and compiled JAX program with optax, compilation included."""
    import jax
    import jax.numpy as jnp
    import optax

    train = digits().train
    inputs, targets = jnp.asarray(train.inputs.numpy()), jnp.asarray(train.targets.numpy())

    def initialize(key: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        keys = jax.random.split(key, len(widths) - 1)
        shapes = zip(keys, widths[:-1], widths[1:], strict=True)
        return [(jax.random.normal(k, (i, o)) / i**0.5, jnp.zeros(o)) for k, i, o in shapes]

    def loss(layers: list, x: jax.Array, y: jax.Array) -> jax.Array:
        for weight, bias in layers[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = layers[-1]
        return optax.softmax_cross_entropy_with_integer_labels(x @ weight + bias, y).mean()

    def train_one(key: jax.Array, rate: jax.Array) -> tuple[list, jax.Array]:
        optimizer = optax.adamw(rate)
        layers = initialize(key)

        def step(carry: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
            layers, state = carry
            order = jax.random.randint(key, (BATCH,), 0, len(inputs))
            value, slope = jax.value_and_grad(loss)(layers, inputs[order], targets[order])
            updates, state = optimizer.update(slope, state, layers)
            return (optax.apply_updates(layers, updates), state), value

        (layers, _), losses = jax.lax.scan(step, (layers, optimizer.init(layers)), jax.random.split(key, steps))
        return layers, losses

    jax.clear_caches()
    started = time.perf_counter()
    keys = jax.random.split(jax.random.key(0), members)
    jax.block_until_ready(jax.jit(jax.vmap(train_one))(keys, jnp.logspace(-4, -2, members)))
    return time.perf_counter() - started


def matrix_peak() -> float:
    """The machine's matrix-product rate at best, in GFLOP/s."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return max(2 * 1024**3 / _timed(lambda: a @ b) / 1e9 for _ in range(10))


def floor_seconds(members: int, widths: tuple[int, ...], steps: int, peak: float) -> float:
    """Time of the matrix products alone at the machine's peak: no implementation can be faster."""
    products = sum(i * o for i, o in itertools.pairwise(widths))
    flops = 2 * BATCH * (3 * products - widths[0] * widths[1])  # no gradient for the inputs
    return members * steps * flops / peak / 1e9


def product_seconds(members: int, widths: tuple[int, ...], steps: int) -> float:
    """Time of the same products by torch's batched kernel, each in the better of two orientations."""
    seconds = 0.0
    for layer, (i, o) in enumerate(itertools.pairwise(widths)):
        x, weight, slope = torch.randn(members, BATCH, i), torch.randn(members, o, i), torch.randn(members, BATCH, o)
        products = [(x, weight.mT), (slope.mT, x)] + ([(slope, weight)] if layer else [])
        for a, b in products:
            seconds += min(_best(a, b), _best(b.mT.contiguous(), a.mT.contiguous()))
    return steps * seconds


def _best(a: torch.Tensor, b: torch.Tensor) -> float:
    return min(_timed(lambda: torch.bmm(a, b)) for _ in range(20))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    arms = {"thalweg": thalweg_population, "torch fused": torch_loop}
    try:
        import optax  # noqa: F401

        arms["jax+compile"] = jax_scan
    except ImportError:
        print("JAX or optax is not installed; that arm is left out.")
    peak = matrix_peak()
    print(f"threads {torch.get_num_threads()}, matrix products at best {peak:.0f} GFLOP/s")
    for members, widths, steps in SIZES:
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(repeats):
            for name, arm in arms.items():
                seconds[name].append(arm(members, widths, steps))
        median = {name: statistics.median(values) for name, values in seconds.items()}
        least = floor_seconds(members, widths, steps, peak)
        print(f"{members} MLPs {'-'.join(map(str, widths))}, {steps} steps")
        for name, value in median.items():
            spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
            print(f"  {name:12s} {value:7.2f} s ({spread}), {value / median['thalweg']:5.1f}x thalweg's time")
        print(
            f"  arithmetic alone at peak: {least:.2f} s, so the torch loop can be beaten at most "
            f"{median['torch fused'] / least:.1f}x here"
        )
        batched = product_seconds(members, widths, steps)
        print(f"  the products alone by torch.bmm: {batched:.2f} s, or {median['torch fused'] / batched:.1f}x")


if __name__ == "__main__":
    main()
