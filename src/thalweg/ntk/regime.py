"""Whether a trained model stayed near its tangent kernel or learned features, and which layer moved."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Drawn, Sample, as_sample, outputs
from thalweg.guard import guarded
from thalweg.ntk import scores
from thalweg.ntk.arrays import Array
from thalweg.ntk.empirical import empirical
from thalweg.ntk.endpoints import Endpoints, endpoints
from thalweg.ntk.inputs import remarks_on_inputs
from thalweg.ntk.jacobians import Jacobians
from thalweg.ntk.regime_verdict import Regime, judged
from thalweg.population import Layout, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading
from thalweg.training import Run

FEW = Sample("train", 64)
HELD_OUT = Sample("test", 128)


@guarded
def regime(
    problem: Problem,
    run: Run | Population,
    *,
    start: Population | None = None,
    members: Sequence[int] | None = None,
    on: Sample | str | ExampleSet = FEW,
    held_out: Sample | str | ExampleSet | None = None,
    lazy: float = 0.1,
    rich: float = 0.5,
    progress: Watcher | None = automatic,
) -> Regime:
    """Is a trained model wide enough for its tangent kernel, is it lazy or rich, and which layer moved.

    For each member, from where it began (theta_0, Theta_0) to where it ended (theta_T, Theta_T):

        drift             |Theta_T - Theta_0| / |Theta_0|; by layer |Theta_T^l - Theta_0^l| / |Theta_0|, Theta being a
                          sum over layers
        kernel distance   1 - <Theta_T, Theta_0> / (|Theta_T| |Theta_0|): without what only rescales it; centered
                          distance, 1 - CKA, without constant functions too, which rule kernels of inputs above 0
        nonlinearity      |f_T - f_lin| / |f_T - f_0| on held-out examples, f_lin = f_0 + J_0 (theta_T - theta_0)
        movement          |theta_T - theta_0| / |theta_0|; by layer |theta_T^l - theta_0^l| / |theta_0|
        spread            |Theta_0 - mean of members| root(S / (S - 1)) / |mean|: how random the start's kernel is

    Lazy, where the interval of the drift over members lies below `lazy`; rich, above `rich`; between, where it lies
    between them; undecided, where it holds one of them. Wide enough, where those of spread and nonlinearity lie below
    `lazy`: then the kernel of the start is that of any start, and says what was learned. The two thresholds are
    conventions. Theta is the mean over outputs of Theta_cc, in evaluation mode.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(1e-5), steps=3, batch_size=64), seeds=3)
    >>> found = tw.ntk.regime(problem, run, on=tw.Sample("train", 16))
    >>> found.verdict, found.wide_enough
    ('lazy', 'undecided')

    Args:
        problem, run: what was trained; or a trained Population, with `start`.
        start: where the members began. None: the run's snapshot of that step; without one the seeds are initialized
            again.
        members: some of the run's, such as run.select(lr=0.1), which differ in their seed alone; None: all.
        on: the examples of the kernel: "train", "test", examples of your own, or a `Sample` of them, drawn at random.
        held_out: those of f; None: 128 of the test set, and where there is none those of `on`.
        lazy, rich: the thresholds.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant, members that differ in more than their seed, or a start that is not
            known.
        ModelError: a model that has no derivative which can be trusted.

    Cost: two kernels and one derivative along theta_T - theta_0 a member.

    References:
        Chizat, Oyallon & Bach (2019), arXiv:1812.07956, lazy and rich; Fort et al. (2020), arXiv:2010.15110, kernel
        distance; Lee et al. (2019), arXiv:1902.06720, f_lin.
    """
    began = time.perf_counter()
    _check_thresholds(lazy, rich)
    ends = endpoints("regime", problem, run, start, members)
    drawn = as_sample("regime", on).draw(problem)
    asked = _held_out(problem, held_out, drawn)
    with watched(progress) as told:
        arrays, layers = _kernel_arrays(problem, ends, drawn.examples)
        told(Progress("regime", 2, 3, time.perf_counter() - began))
        arrays["nonlinearity"] = _nonlinearity(problem, ends, asked.examples)
        told(Progress("regime", 3, 3, time.perf_counter() - began))
    arrays |= _movement(problem.layout, ends, layers)
    dims = {name: ("member", "layer")[: values.ndim] for name, values in arrays.items()}
    reading = Reading(
        "regime",
        arrays,
        dims,
        {"member": ends.members, "layer": layers},
        sample_size=len(drawn),
        cost=Cost(time.perf_counter() - began, forwards=4 * len(ends.final), backwards=2 * len(ends.final)),
        provenance=Provenance.here(device=str(problem.device), dtype=str(problem.dtype)),
        notes=(
            f"The kernel on {drawn.text}, f on {asked.text}, in evaluation mode.",
            *ends.notes,
            *_on_buffers(ends),
            *remarks_on_inputs(drawn.examples),
        ),
    )
    return judged(reading, layers, lazy, rich)


def _kernel_arrays(problem: Problem, ends: Endpoints, examples: ExampleSet) -> tuple[dict[str, Array], list[str]]:
    """Drift in all and by layer, distance, and the spread at the start."""
    before, after = (_by_layer(problem, population, examples) for population in (ends.start, ends.final))
    layers = list(before)
    first, last = (torch.stack(list(one.values())) for one in (before, after))
    whole, size = first.sum(0), torch.linalg.matrix_norm(first.sum(0))
    if bool((size == 0).any()):
        msg = "The kernel of a member is 0 where it began, so nothing can drift; is a whole layer 0 or dead?"
        raise UsageError(msg)
    arrays = {
        "drift": scores.drift(last.sum(0), whole),
        "kernel distance": scores.kernel_distance(last.sum(0), whole).clip(0),
        "centered distance": 1 - scores.centered_alignment(last.sum(0), whole).clip(max=1),
        "drift by layer": (torch.linalg.matrix_norm(last - first) / size).T.cpu().numpy(),
    }
    members = len(whole)
    if members > 1 and len(torch.unique(ends.start.theta, dim=0)) == members:
        middle = whole.mean(0)
        apart = torch.linalg.matrix_norm(whole - middle) / torch.linalg.matrix_norm(middle)
        arrays["spread"] = (apart * (members / (members - 1)) ** 0.5).cpu().numpy()
    return arrays, layers


def _by_layer(problem: Problem, population: Population, examples: ExampleSet) -> dict[str, Tensor]:
    """The kernel (members, n, n) of the parameters of every layer."""
    found = empirical(problem, population, examples, outputs="trace", by_layer="parameter", progress=None)
    names, sums = _layers(problem.layout), dict[str, Tensor]()
    for name, values in zip(found.reading.coordinate("layer").tolist(), found["layers"], strict=True):
        part = torch.from_numpy(values.astype(np.float64))
        sums[names[name]] = sums[names[name]] + part if names[name] in sums else part
    return sums


def _layers(layout: Layout) -> dict[str, str]:
    """Of every tensor the layer that has it: its module's path, or its own name where that is the model itself."""
    return {entry.name: entry.module or entry.name for entry in layout}


def _nonlinearity(problem: Problem, ends: Endpoints, examples: ExampleSet) -> Array:
    """|f_T - f_lin| / |f_T - f_0|: (members,); 0 where nothing changed."""
    change = Jacobians("regime", problem, ends.start, examples).push(ends.final.theta - ends.start.theta).double()
    before, after = (outputs(problem, one, on=examples).double() for one in (ends.start, ends.final))
    learned = (after - before).reshape(change.shape)
    missed, size = (torch.linalg.vector_norm(one, dim=(1, 2)) for one in (learned - change, learned))
    return torch.where(size > 0, missed / size.masked_fill(size == 0, 1), 0.0).cpu().numpy()


def _movement(layout: Layout, ends: Endpoints, layers: Sequence[str]) -> dict[str, Array]:
    change = (ends.final.theta - ends.start.theta).double()
    size = torch.linalg.vector_norm(ends.start.theta.double(), dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    names = _layers(layout)
    parts = []
    for layer in layers:
        columns = layout.mark(entry for entry in layout if names[entry.name] == layer).to(change.device)
        parts.append(torch.linalg.vector_norm(change[:, columns], dim=1) / size)
    whole = torch.linalg.vector_norm(change, dim=1) / size
    return {"movement": whole.cpu().numpy(), "movement by layer": torch.stack(parts, dim=1).cpu().numpy()}


def _held_out(problem: Problem, held_out: Sample | str | ExampleSet | None, drawn: Drawn) -> Drawn:
    if held_out is not None:
        return as_sample("regime", held_out).draw(problem)
    return drawn if problem.data.test is None else HELD_OUT.draw(problem)


def _on_buffers(ends: Endpoints) -> tuple[str, ...]:
    """A remark where running statistics changed, which is no movement of parameters."""
    moved = any(not torch.equal(ends.start.running[name], now) for name, now in ends.final.running.items())
    said = "Running statistics moved with training too, and are part of the drift and of what the linearization misses."
    return (said,) if moved else ()


def _check_thresholds(lazy: float, rich: float) -> None:
    for name, value in (("lazy", lazy), ("rich", rich)):
        check_type(f"regime {name}", value, (int, float), "a share such as 0.1")
    if not 0 < lazy <= rich < float("inf"):
        msg = f"regime thresholds must be 0 < lazy <= rich; got lazy={lazy}, rich={rich}."
        raise UsageError(msg)
