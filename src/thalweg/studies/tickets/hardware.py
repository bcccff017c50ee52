"""LTH8: what sparsity saves in time and in bytes, as units that are cut out and as weights that are zero.

Times are taken in interleaved rounds on one thread, and intervals are over blocks of rounds. A copy of the dense
network is timed beside it: where the two differ, the machine is too busy for any of it, and nothing is decided.
"""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.utils import prune as of_torch

from thalweg import nets, tickets
from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars
from thalweg.population import Population, Problem
from thalweg.population.threads import one_thread
from thalweg.randomness import generator
from thalweg.statistics import POSITIVE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.studies.tickets import speed
from thalweg.tickets.receipt_layers import SparseLinear, in_csr
from thalweg.tickets.receipt_timing import machine

DENSE, COPY, MASKED, MULTIPLIED = "dense", "copy of dense", "masked, 90 %", "mask in the forward pass"
SLICED, CSR, SPARSER = "sliced to 256 units", "CSR, 90 %", "CSR, 98 %"
SPEED, QUIET, OF = "times faster than dense", "rounds on a quiet machine", "blocks of rounds"
WIDTH, BATCHES, SCORED, BLOCKS = 1_024, (1, 32, 256), 256, 10
SHARES = (0.1, 0.02)  # of the weights that are kept
CLAIM = Claim(
    id="LTH8",
    statement="On a CPU, MLP 1024-1024-1024-1024-10, batch 256, one thread: cutting out 75 % of the units makes it "
    "more than 3 times faster, setting 90 % of its weights to zero changes nothing, and multiplying by a mask in the "
    "forward pass makes it slower.",
    lecture="Structured pruning is hardware-friendly, unstructured is hard to accelerate; a network that is 90 % "
    "sparse may be 10 times faster.",
    rule=every_part(),
    unit=SPEED,
    budget={QUIET: 20},
    corrected="A mask gives nothing, but a sparse matrix does: in CSR with indices of 32 bits, on the left of the "
    "product, a network without 90 % of its weights is faster than dense too, though by less than one without 75 % of "
    "its units. What each gives is measured here, and has an accuracy of its own. A file without 90 % of the weights "
    "is at most 8.7 times smaller in float32.",
    parts=(
        Part(
            "sliced",
            "Without 75 % of the units it is more than 3 times faster.",
            greater(3),
            SPEED,
            bounds=POSITIVE,
            repeats=OF,
        ),
        Part(
            "masked",
            "With zeros for 90 % of the weights it is as fast.",
            within(0.9, 1.1),
            SPEED,
            bounds=POSITIVE,
            repeats=OF,
        ),
        Part(
            "mask in the forward pass", "Masked in each call it is slower.", less(1), SPEED, bounds=POSITIVE, repeats=OF
        ),
        Part(
            "CSR",
            "In CSR, with indices of 32 bits, 90 % of the weights at zero are faster than dense.",
            greater(1),
            SPEED,
            decides=False,
            bounds=POSITIVE,
            repeats=OF,
        ),
        Part(
            "copy",
            "A copy of the dense network is as fast as itself.",
            within(0.95, 1.05),
            SPEED,
            decides=False,
            bounds=POSITIVE,
            repeats=OF,
        ),
    ),
)
ARM_OF = {"sliced": SLICED, "masked": MASKED, "mask in the forward pass": MULTIPLIED, "CSR": CSR, "copy": COPY}


def wide(seed: int) -> tuple[Problem, Population, Tensor]:
    """The network as it is initialized, and inputs to call it with: its numbers do not change what it costs."""
    draw = generator(seed, "wide inputs")
    inputs = torch.randn(max(BATCHES), WIDTH, generator=draw), torch.randint(10, (max(BATCHES),), generator=draw)
    problem = Problem(lambda: nets.mlp(WIDTH, WIDTH, WIDTH, WIDTH, 10), inputs)
    return problem, problem.initialize([seed]), inputs[0]


def pruned(problem: Problem, population: Population) -> dict[float, Population]:
    """With the largest weights of every layer, and zeros, by the share that is kept."""
    scores = population.theta.abs()
    return {share: population.with_mask(tickets.prune(problem, scores, share)) for share in SHARES}


def sliced(problem: Problem, population: Population, units: int) -> nn.Module:
    """With so many units in every hidden layer."""
    keep = {f"hidden{layer}": range(units) for layer in (1, 2, 3)}
    return tickets.sliced(problem, population, keep).module(0)


def multiplied(module: nn.Module) -> nn.Module:
    """With masks that are applied in every call, as torch.nn.utils.prune does until `prune.remove`."""
    for layer in [one for one in module.modules() if isinstance(one, nn.Linear)]:
        of_torch.custom_from_mask(layer, "weight", (layer.weight != 0).float())
    return module


def with_long_indices(module: nn.Module) -> nn.Module:
    """CSR with indices of 64 bits, which are converted in every call."""
    module = copy.deepcopy(module)
    for layer in [one for one in module.modules() if isinstance(one, SparseLinear)]:
        old = layer.weight
        parts = old.crow_indices().long(), old.col_indices().long(), old.values()
        layer.weight = torch.sparse_csr_tensor(*parts, size=old.shape)
    return module


def in_scipy(module: nn.Module) -> Callable[[Tensor], object]:
    """The same by SciPy's sparse matrices."""
    linear = [one for one in module.modules() if isinstance(one, nn.Linear)]
    layers = [(sparse.csr_matrix(one.weight.detach().numpy()), one.bias.detach().numpy()[:, None]) for one in linear]

    def call(x: Tensor) -> object:
        h = x.numpy().T
        for weight, bias in layers[:-1]:
            h = np.maximum(weight @ h + bias, 0)
        return layers[-1][0] @ h + layers[-1][1]

    return call


def arms_of(
    problem: Problem, dense: Population, sparse: Mapping[float, Population], *, scored: bool
) -> dict[str, Callable[[Tensor], object]]:
    """What is timed: dense first; all arms, or only those that are scored, and CSR."""
    ticket = sparse[0.1].module(0)
    arms: dict[str, Callable[[Tensor], object]] = {
        DENSE: dense.module(0),
        COPY: dense.module(0),
        MASKED: ticket,
        MULTIPLIED: multiplied(copy.deepcopy(ticket)),
        SLICED: sliced(problem, dense, WIDTH // 4),
        CSR: in_csr(ticket),
    }
    if scored:
        return arms
    return arms | {
        "sliced to 512 units": sliced(problem, dense, WIDTH // 2),
        "sliced to 102 units": sliced(problem, dense, WIDTH // 10),
        SPARSER: in_csr(sparse[0.02].module(0)),
        "CSR, 90 %, int64": with_long_indices(in_csr(ticket)),
        "SciPy CSR, 90 %": in_scipy(ticket),
    }


def sizes_of(sparse: Mapping[float, Population]) -> dict[str, float]:
    """How many times smaller the packed files are, which is exact."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for share, population in sparse.items():
            packed = tickets.pack(population, Path(folder) / "ticket.safetensors")
            found[f"{1 - share:.0%} of the weights at zero"] = float(packed["ratio"])
    return found


def speedups(taken: tickets.Latencies) -> dict[str, Interval]:
    """How many times faster than dense every arm is, over blocks of rounds."""
    found = {}
    for name, logs in zip(taken.arms, taken["log speedup"].T, strict=True):
        mean = interval.geometric_mean(np.exp(logs))
        found[name] = replace(mean, method=mean.method.replace("over seeds", "over blocks of rounds"))
    return found


def found(
    lab: Lab, taken: Mapping[int, tickets.Latencies], sizes: Mapping[str, float], beside: speed.Beside | None = None
) -> Finding:
    """The finding of times by batch size, whoever took them."""
    by_batch = {batch: speedups(one) for batch, one in taken.items()}
    scored, rounds = by_batch[SCORED], int(taken[SCORED].reading.sample_size or 0)
    parts = {part: scored[arm] for part, arm in ARM_OF.items()}
    quiet = CLAIM.parts[-1].rule.judge(scored[COPY].low, scored[COPY].high) == "holds"
    names, batches = taken[SCORED].arms, list(taken)
    bars = [
        interval_bars({name: one[name] for name in names[1:]}, label=f"batch {batch}")
        for batch, one in by_batch.items()
    ]
    figure = Figure.of(
        "What sparsity saves in time",
        (*bars, ReferenceLine(1.0, label="dense")),
        Axis(),
        Axis(SPEED, scale="log"),
        caption=f"MLP 1024-1024-1024-1024-10, medians of {rounds} interleaved rounds, 95 % intervals over {BLOCKS} "
        f"blocks of rounds. {machine()}.",
    )
    of = {name: np.array([one[name] for one in taken.values()]) for name in ("latency", "fastest", "speedup")}
    blocks = np.array([one["log speedup"] for one in taken.values()])
    here = {"batch": batches, "arm": names}
    return lab.finding(
        parts=parts,
        ran={QUIET: rounds if quiet else 0},
        figures=(figure, *(beside.figures if beside else ())),
        readings=[
            lab.reading("latency, median", of["latency"], here, unit="s"),
            lab.reading("latency, smallest", of["fastest"], here, unit="s"),
            lab.reading("log of speed-up by block", np.swapaxes(blocks, 1, 2), {**here, "block": range(BLOCKS)}),
        ],
        sentences=[
            *(in_words(batch, one) for batch, one in by_batch.items()),
            *(
                f"With {share} the packed file is {ratio:.1f} times smaller in float32."
                for share, ratio in sizes.items()
            ),
            *([] if quiet else [busy(parts["copy"])]),
            *(beside.sentences if beside else ()),
        ],
        numbers={
            "speed-up, 95 % interval": {
                f"batch {batch}": {name: [end.low, end.estimate, end.high] for name, end in one.items()}
                for batch, one in by_batch.items()
            },
            "speed-up of the fastest calls": {
                f"batch {batch}": dict(zip(names, (one["fastest"][0] / one["fastest"]).tolist(), strict=True))
                for batch, one in taken.items()
            },
            "file, times smaller": dict(sizes),
            "machine": machine(),
            "indices of CSR": "int32, the sparse matrix on the left",
        },
    )


def in_words(batch: int, faster: Mapping[str, Interval]) -> str:
    """What the arms are worth at a batch size, in a sentence."""
    sparser = f" and {faster[SPARSER].estimate:.1f} times at 98 %" if SPARSER in faster else ""
    return (
        f"At batch {batch} the network is {faster[SLICED].estimate:.1f} times as fast as dense without 75 % of its "
        f"units, {faster[CSR].estimate:.1f} times in CSR at 90 %{sparser}, {faster[MASKED].estimate:.2f} times with "
        f"zeros, and {faster[MULTIPLIED].estimate:.2f} times with a mask in the forward pass."
    )


def busy(copy_of_dense: Interval) -> str:
    """What is said where the machine is not quiet."""
    return (
        f"A copy of dense is {copy_of_dense} times as fast: the machine is too busy to tell, and is to be left alone "
        "while this is timed."
    )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Time every form of one network at three batch sizes, in interleaved rounds."""
    (seed,) = lab.seeds(quick=1, full=1).scored
    problem, dense, inputs = wide(seed)
    rounds = lab.pick(quick=20, full=40)
    with one_thread():  # to the end, as the finding says on how many threads all of it was
        with torch.no_grad():
            sparse = pruned(problem, dense)
            arms = arms_of(problem, dense, sparse, scored=lab.scale == "quick")
            taken = {batch: timed(arms, inputs[:batch], rounds) for batch in BATCHES}
            sizes = sizes_of(sparse)
        return found(lab, taken, sizes, speed.beside(lab) if lab.scale == "full" else None)


def timed(arms: Mapping[str, Callable[[Tensor], object]], inputs: Tensor, rounds: int) -> tickets.Latencies:
    """How long each takes on these inputs."""
    calls = {name: lambda arm=arm: arm(inputs) for name, arm in arms.items()}
    return tickets.latencies(calls, rounds=rounds, blocks=BLOCKS)
