"""One step of every update rule against its peer's own step, side by side in one run.

    python benchmarks/rules.py

Two shapes: 64 members of 26,122 parameters, and one member of 10 million. An elementwise peer is given a vector a
member, in one optimizer, which is the best case for it; one that looks at the shapes of tensors is given the tensors.
Peers are torch's fused kernels where there are any, else its foreach ones, else what another library has. Ratios above
1 mean that Thalweg is slower. Beside them stand the bytes a parameter has to be moved, read and written once each
(float32), and the bytes that would have been moved in the time taken at the speed at which this machine copies: how far
each is from that bound.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytorch_optimizer
import schedulefree
import torch
from torch import Tensor

import thalweg as tw
from thalweg import optim
from thalweg.optim import StepHyperparameters, Updater

SHAPES = {"64 x 26,122": (64, (64, 128, 128, 10)), "1 x 10,000,000": (1, (1_000, 3_000, 2_000, 499))}
CLASSES = 10
REPEATS = 15


@dataclass(frozen=True)
class Pair:
    """A rule, its peer on a list of tensors, and the bytes a parameter that a step must move.

    `shaped` says whether the peer is given the tensors of each member, or one vector.
    """

    rule: optim.Rule
    peer: Callable[[list[Tensor]], "torch.optim.Optimizer | Muon"]
    bytes: int
    shaped: bool = False


class Muon:
    """torch's Muon for matrices but the last, and its AdamW for the rest."""

    def __init__(self, tensors: list[Tensor]) -> None:
        hidden = [one for one in tensors if one.ndim == 2 and one.shape[0] != CLASSES]
        rest = [one for one in tensors if one.ndim != 2 or one.shape[0] == CLASSES]
        self.parts = (
            torch.optim.Muon(hidden, 1e-2, weight_decay=0.0, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, 3e-4, fused=True),
        )

    def step(self) -> None:
        """One step of both."""
        for part in self.parts:
            part.step()


PAIRS: dict[str, Pair] = {
    "SGD": Pair(optim.SGD(1e-3), lambda p: torch.optim.SGD(p, 1e-3, fused=True), 12),
    "momentum": Pair(optim.Momentum(1e-3), lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, fused=True), 20),
    "RMSprop": Pair(optim.RMSprop(1e-3), lambda p: torch.optim.RMSprop(p, 1e-3, foreach=True), 20),
    "Adam": Pair(optim.Adam(1e-3), lambda p: torch.optim.Adam(p, 1e-3, fused=True), 28),
    "AdamW": Pair(optim.AdamW(1e-3), lambda p: torch.optim.AdamW(p, 1e-3, fused=True), 28),
    "AMSGrad": Pair(optim.AMSGrad(1e-3), lambda p: torch.optim.Adam(p, 1e-3, amsgrad=True, fused=True), 36),
    "NAdam": Pair(optim.NAdam(1e-3), lambda p: torch.optim.NAdam(p, 1e-3, foreach=True), 28),
    "Adagrad": Pair(optim.Adagrad(1e-3), lambda p: torch.optim.Adagrad(p, 1e-3, fused=True), 20),
    "Adafactor": Pair(optim.Adafactor(1e-3), lambda p: torch.optim.Adafactor(p, 1e-3, foreach=True), 12, True),
    "Lion": Pair(optim.Lion(1e-4), lambda p: pytorch_optimizer.Lion(p, 1e-4, foreach=True), 20),
    "Schedule-Free AdamW": Pair(
        optim.ScheduleFreeAdamW(1e-3), lambda p: schedulefree.AdamWScheduleFree(p, 1e-3, foreach=True), 28
    ),
    "Muon": Pair(optim.Muon(1e-2), Muon, 20, True),
    "SOAP": Pair(optim.SOAP(1e-3), lambda p: pytorch_optimizer.SOAP(p, 1e-3), 28, True),
}
SLOW = ("Muon", "SOAP")  # products of matrices: with the first shape only


def timed(step: Callable[[], None], before: Callable[[], None]) -> float:
    """Milliseconds of a step, after something that is not timed."""
    before()
    started = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - started)


def copying() -> float:
    """Bytes a second at which this machine copies a large array, read and write counted."""
    source = torch.zeros(32_000_000)
    target = torch.empty_like(source)
    seconds = [timed(lambda: target.copy_(source), lambda: None) / 1e3 for _ in range(9)]
    return 2 * source.numel() * 4 / statistics.median(seconds)


def main() -> None:
    """Print a table for each shape."""
    speed = copying()
    print(f"copying: {speed / 1e9:.1f} GB/s")
    for title, (members, widths) in SHAPES.items():
        layout = tw.Layout.of(tw.nets.mlp(*widths))
        print(f"{title}: {members} x {layout.parameters:,}, median of {REPEATS}")
        for name, pair in PAIRS.items():
            if name in SLOW and members == 1:
                continue
            theta, slope = 0.1 * torch.randn(members, layout.parameters), torch.randn(members, layout.parameters)
            gradient, updater, count = slope.clone(), Updater(pair.rule, theta, layout=layout), [0]

            def ours(
                updater: Updater = updater, gradient: Tensor = gradient, count: list = count, pair: Pair = pair
            ) -> None:
                count[0] += 1
                updater.step(gradient, StepHyperparameters(pair.rule.hyper_parameters() | {"schedule": 1.0}, count[0]))

            parts = [layout.views(row).values() if pair.shaped else [row] for row in theta]
            slopes = [layout.views(row).values() if pair.shaped else [row] for row in slope]
            tensors = [tensor.clone().requires_grad_() for row in parts for tensor in row]
            peer = pair.peer(tensors)
            if hasattr(peer, "train"):
                peer.train()
            for tensor, own in zip(tensors, (one for row in slopes for one in row), strict=True):
                tensor.grad = own
            mine, theirs = [], []
            for repeat in range(REPEATS + 2):
                took = timed(ours, lambda: gradient.copy_(slope))  # noqa: B023
                mine += [took] if repeat > 1 else []
                took = timed(peer.step, lambda: None)
                theirs += [took] if repeat > 1 else []
            ms = statistics.median(mine)
            moved = ms / 1e3 * speed / theta.numel()
            against = f"{ms / statistics.median(theirs):5.2f}x of its peer's"
            print(f"  {name:20s} {ms:8.2f} ms  {against:20s}  {pair.bytes} bytes needed, time for {moved:.0f}")


if __name__ == "__main__":
    main()
