"""What a ticket really saves in time: dense, sliced and sparse layers, measured here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from thalweg.data import ExampleSet
from thalweg.errors import ThalwegError, UsageError, check_count, check_type
from thalweg.evaluation import Sample
from thalweg.evaluation.sample import as_sample
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.binding import call
from thalweg.population.layout import same_layout
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.tickets.receipt_layers import in_bsr, in_csr, in_two_of_four
from thalweg.tickets.receipt_timing import latencies, machine
from thalweg.tickets.slicing import Sliced
from thalweg.tickets.slicing_check import difference, outputs
from thalweg.tickets.slicing_dead import without_dead_units

_SAME = 1e-3  # of the largest output, in the dtype of the model
_DOUBT = 0.05  # of the choice, all arms together


@dataclass(frozen=True, eq=False)
class Receipt(Result):
    """What `receipt` returns: how long a network takes in each form, and which is the fastest.

    Args:
        reading: "latency", "fastest" (batch, arm): median and minimum over rounds, in seconds; "speedup" and "least
            speedup" (batch, arm): how many times faster than dense, and the lower end of its interval; "choice"
            (batch): the arm to take; "gain" (batch): its speed-up, 1 where it is dense; "difference" (arm): from the
            outputs of dense, in units of the largest.
        modules: the network in each form.
        left_out: why other forms were not measured, by arm.
    """

    modules: Mapping[str, nn.Module] = field(repr=False)
    left_out: Mapping[str, str] = field(repr=False)

    def module(self, batch: int) -> nn.Module:
        """The network in the form to take for a batch size that was measured.

        Raises:
            UsageError: another size.
        """
        batches = self.reading.coordinate("batch").tolist()
        if batch not in batches:
            msg = f"The receipt is for batches of {', '.join(map(str, batches))}; got {batch}."
            raise UsageError(msg)
        return self.modules[str(self["choice"][batches.index(batch)])]

    def figure(self) -> Figure:
        """How many times faster than dense each form is, against the batch size."""
        batches = self.reading.coordinate("batch")
        lines = tuple(Line(batches, self["speedup"][:, place], label=name) for place, name in enumerate(self.modules))
        axes = Axis("batch", scale="log"), Axis("speed-up over dense", "times", scale="log")
        return Figure.of("Measured speed", lines, *axes, caption=" ".join(self.reading.notes))


@guarded
def receipt(
    problem: Problem,
    population: Population,
    *,
    sliced: Sliced | None = None,
    batches: Sequence[int] = (1, 32, 256),
    rounds: int = 40,
    on: Sample | str | ExampleSet = "train",
) -> Receipt:
    """Measure what a sparse network saves in time on this machine, and pick the fastest form for every batch size.

    Forms: dense (a mask alone changes no time: zeros are multiplied as other numbers are); sliced (without dead units,
    or what is given); linear layers in CSR with 32-bit indices and the matrix on the left; in BSR where blocks are
    empty; two of four on CUDA where each four weights have two zeros. See `latencies` for how time is taken. A form is
    chosen only if it is faster than dense beyond doubt, with 5 % for all forms together, so the choice is dense and the
    gain 1.0 where nothing is. All compute the same up to rounding, or are left out; only what is given as `sliced`
    may be another network, and how far it is off is in "difference".

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> found = tw.tickets.receipt(problem, problem.initialize(1), batches=(1,), rounds=20)
    >>> found["choice"].tolist(), found["gain"].tolist(), sorted(found.left_out)
    (['dense'], [1.0], ['2:4', 'bsr', 'csr', 'sliced'])
    >>> found.reading.notes[0]
    'Batch 1: dense, 1.0x.'

    Args:
        problem: whose model it is.
        population: one member, with the mask it has.
        sliced: a sliced form of it; None makes the one without dead units.
        batches: numbers of examples that are computed at once.
        rounds: of interleaved calls, at least 20.
        on: examples that are called with, repeated where a batch is larger.

    Raises:
        UsageError: several members, or a population of another model.

    Cost: 3 * rounds calls of each form a batch size.
    """
    began = time.perf_counter()
    check_type("receipt problem", problem, Problem, "a Problem")
    check_type("receipt population", population, Population, "a Population such as run.final[0]")
    same_layout(problem.layout, population.layout)
    if len(population) != 1:
        msg = f"A receipt is of one network; give one of the {len(population)}, such as population[0]."
        raise UsageError(msg)
    if sliced is not None:
        check_type("receipt sliced", sliced, Sliced, "what sliced() gave")
    check_type("receipt batches", batches, (list, tuple), "numbers of examples, such as (1, 32, 256)")
    for batch in batches:
        check_count("receipt batches", batch)
    drawn = as_sample("receipt", on).draw(problem)
    few = problem.preflight.examples()[0]
    dense = population.module(0).eval()
    modules, left_out = _forms(problem, population, sliced, dense)
    wanted, apart = outputs(dense, few), {}
    with torch.no_grad():
        plain = [call(dense, few)]
        for name, module in list(modules.items()):
            try:
                given = name == "sliced" and sliced is not None
                found = outputs(module, few) if given else [call(module, few)]
                apart[name] = difference(*((wanted, found) if given else (_leaves(plain), _leaves(found))))
            except Exception as error:  # torch has no kernel for it, or the model reads the weights itself
                left_out[name] = f"it raises {type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"
                modules.pop(name)
                continue
            if apart[name] > _SAME and not given:
                left_out[name] = f"its outputs are off by {apart[name]:.2g} of the largest"
                modules.pop(name)
        tables = [_timed(modules, drawn.examples, batch, rounds, problem.device) for batch in batches]
    return Receipt(_reading(problem, batches, modules, apart, tables, left_out, began), modules, left_out)


def _forms(
    problem: Problem, population: Population, sliced: Sliced | None, dense: nn.Module
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The network in each form that it can have, and why it has not the others."""
    modules, left_out = {"dense": dense}, {}
    try:
        small = without_dead_units(problem, population) if sliced is None else sliced
        if small.population.layout.parameters < population.layout.parameters:
            modules["sliced"] = small.module(0).eval()
        else:
            left_out["sliced"] = "no unit is dead"
    except ThalwegError as error:
        left_out["sliced"] = str(error)
    makers: dict[str, Callable[[nn.Module], nn.Module]] = {"csr": in_csr, "bsr": in_bsr, "2:4": in_two_of_four}
    for name, make in makers.items():
        try:
            modules[name] = make(dense).eval()
        except (ValueError, RuntimeError, NotImplementedError) as error:
            left_out[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
    return modules, left_out


def _leaves(found: Sequence[object]) -> list[torch.Tensor]:
    return [leaf.double() for leaf in torch.utils._pytree.tree_leaves(found) if isinstance(leaf, torch.Tensor)]


def _timed(
    modules: Mapping[str, nn.Module], examples: ExampleSet, batch: int, rounds: int, device: torch.device
) -> tuple[np.ndarray, ...]:
    """Latency, its minimum, speed-up and the lower end of it: (arms,) each."""
    inputs = examples.take(torch.arange(batch) % len(examples))[0]
    level = 1 - _DOUBT / max(len(modules) - 1, 1)
    found = latencies(
        {name: _calling(module, inputs) for name, module in modules.items()}, rounds=rounds, device=device
    )
    return found["latency"], found["fastest"], found["speedup"], found.least(level)


def _calling(module: nn.Module, inputs: object) -> Callable[[], object]:
    return lambda: call(module, inputs)


def _reading(
    problem: Problem,
    batches: Sequence[int],
    modules: Mapping[str, nn.Module],
    apart: Mapping[str, float],
    tables: Sequence[tuple[np.ndarray, ...]],
    left_out: Mapping[str, str],
    began: float,
) -> Reading:
    """The tables together, what is chosen, and sentences."""
    names = list(modules)
    latency, fastest, speedup, least = (np.array(one) for one in zip(*tables, strict=True))
    sure = np.where(least > 1, speedup, 0.0)
    sure[:, 0] = 1.0
    chosen = sure.argmax(1)
    gain = sure.max(1)
    sentences = [
        f"Batch {batch}: {names[one]}, {times:.1f}x."
        if one == 0
        else f"Batch {batch}: {names[one]}, {times:.1f}x ({latency[row, one]:.2g} s against {latency[row, 0]:.2g} s)."
        for row, (batch, one, times) in enumerate(zip(batches, chosen, gain, strict=True))
    ]
    per_batch = ("batch", "arm")
    return Reading(
        "receipt",
        {
            "speedup": speedup,
            "least speedup": least,
            "latency": latency,
            "fastest": fastest,
            "choice": [names[one] for one in chosen],
            "gain": gain,
            "difference": [apart[name] for name in names],
        },
        dict.fromkeys(("speedup", "least speedup", "latency", "fastest"), per_batch)
        | {"choice": ("batch",), "gain": ("batch",), "difference": ("arm",)},
        {"batch": list(batches), "arm": names},
        {"latency": "s", "fastest": "s", "speedup": "times", "gain": "times"},
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(*sentences, *(f"Not measured: {name}, as {why}." for name, why in left_out.items()), f"{machine()}."),
    )
