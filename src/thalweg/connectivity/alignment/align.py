"""Permutation alignment: networks with their units in the order in which they are most similar to a reference."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from thalweg.connectivity.alignment.activations import matched_activations
from thalweg.connectivity.alignment.matching import Matched, matched
from thalweg.connectivity.alignment.methods import METHODS, ActivationMatching, Method, StraightThrough
from thalweg.connectivity.alignment.moving import Permutations, moved_share, similarity, verified
from thalweg.connectivity.alignment.nests import Nest, nests_of
from thalweg.connectivity.alignment.result import Alignment
from thalweg.connectivity.alignment.specification import (
    ByHand,
    check_finite,
    check_same_architecture,
    check_start,
    groups_of,
)
from thalweg.connectivity.alignment.standing import movable
from thalweg.connectivity.alignment.straight_through import matched_through
from thalweg.connectivity.alignment.weights import compared
from thalweg.connectivity.ends import check_ends
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_type
from thalweg.evaluation import Drawn, Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Population, Problem, UnitGroup
from thalweg.population.derivatives import check_steady
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading

_ON = Sample("train", 1_024)


@guarded
def align(
    problem: Problem,
    reference: Population,
    population: Population,
    method: str | Method = "weights",
    *,
    on: Sample | str | ExampleSet = _ON,
    groups: ByHand | Sequence[UnitGroup] | None = None,
    start: Permutations | None = None,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Alignment:
    """Put the units of each member into the order in which they are most similar to the reference's.

    Units of a layer may be exchanged, if the weights that read them are exchanged alike: the function stays. Of two
    networks that were trained apart most of the barrier between them goes when one is so permuted towards the other.
    Units are those of the model's structure: of layers, channels, residual streams, heads and the dimensions within
    them, which are matched together.

        weights          maximize over all P    <theta_reference, P theta>
        activations      maximize, group by group, the sum over units of the correlation of unit i of the reference
                         with unit P(i) of the member, over examples and positions
        straight_through minimize over all P    L((theta_reference + P theta) / 2)

    Weight matching takes one group after the other, in random order, solves it exactly with the others as they are
    (linear assignment; a group within units of another together with that), and stops where none gains: a local
    optimum. It begins at the input and the output and goes inwards by what is beyond doubt; members that end less
    similar than they were begin anew as they are. Had all begun as they are, permutations that were planted in
    a transformer would be missed. Where units lie along two dimensions of one tensor (recurrent weights), a step is to
    first order, and taken if it gains. Straight-through matching trains a copy of the reference: at each step the
    members are matched to it by weights, starting from the permutation before, and the gradient of the loss halfway is
    applied to the copy as if it were the permuted member (Ainsworth's second variant); of all permutations met, the one
    with the lowest loss on `on` is kept, the same examples throughout.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> pair = problem.initialize(2)
    >>> found = tw.connectivity.align(problem, pair[0], pair[1])
    >>> found.permutations["hidden1"].shape, bool(found["distance after"] < found["distance before"])
    (torch.Size([1, 16]), True)

    Args:
        problem: whose model it is.
        reference: as many members as the population, or one for all.
        population: members that are permuted; only read. Masks and buffers move along. Where frozen parameters that
            are the same in all networks tell units apart, these stay.
        method: "weights", "activations" or "straight_through"; or `WeightMatching()`, `ActivationMatching(...)`,
            `StraightThrough(...)` with options.
        on: examples on which activations are compared, or losses halfway; weight matching needs none.
        groups: of units, where the model cannot be traced or where only some are to be permuted: `UnitGroup`s, or by
            name a list of (name of a tensor, dimension), such as {"hidden": [("fc1.weight", 0), ("fc2.weight", 1)]}.
            Where there are more indices than units, a unit has as many in a row (channels that were flattened), or one
            in each of several equal parts: (name, dimension, parts), such as ("lstm.weight_ih_l0", 0, 4) of the gates.
        start: permutations from which to go on, such as those of an earlier alignment; of activations there is no need.
        seed: of the order in which groups are taken, and of batches.
        progress: see `train`.

    Returns:
        The members aligned, and how similar they are now; see `Alignment`. That they compute what they did before is
        verified on 64 examples.

    Raises:
        ModelError: the model cannot be traced, has no units that are known to be exchangeable, or computes something
            else with its units in another order; the remedy is said.
        UsageError: networks of another architecture, of which every difference is listed, or that are not finite; or
            arguments that cannot be meant.

    Cost: a sweep over a layer of n units with n inputs takes 4 n^3 operations and an assignment of n^3; activations a
    forward pass of every network on `on` and an assignment; straight-through a gradient and an alignment a step. All
    members are matched at once, but for the assignments.

    Source: Ainsworth, Hayase & Srinivasa, 2022, arXiv:2209.04836; of activations Li et al., 2015, arXiv:1511.07543.
    """
    began = time.perf_counter()
    method = _meant(problem, reference, population, method, seed)
    free, still = movable(groups_of(problem, groups), reference, population)
    nests = nests_of(free)
    check_start([group for nest in nests for group in nest], start, len(population))
    if isinstance(method, ActivationMatching) and groups is not None:
        msg = 'Where units have activations is read from a trace, not from groups=; write method="weights".'
        raise UsageError(msg)
    drawn = as_sample("align", on).draw(problem)
    with watched(progress) as told:
        if isinstance(method, ActivationMatching):
            found = matched_activations(problem, nests, reference, population, drawn.examples, method.measure)
        elif isinstance(method, StraightThrough):
            found = matched_through(
                problem, nests, reference, population, drawn.examples, method, seed=seed, start=start, told=told
            )
        else:
            found = matched(nests, compared(reference), compared(population), seed=seed, start=start)
    aligned = verified(problem, population, nests, found.orders)
    notes = (_how(method, drawn), *still, *_unknown(problem, groups))
    reading = reading_of(problem, nests, reference, population, aligned, found, seed, began, notes)
    return Alignment(reading, aligned, found.orders, tuple(found.converged.tolist()))


def _meant(problem: Problem, reference: Population, population: Population, method: str | Method, seed: int) -> Method:
    """The method, after everything has been checked."""
    check_type("align seed", seed, int, "a whole number")
    check_same_architecture(problem, reference, population)
    check_steady(problem, "whether aligned members compute the same cannot be verified")
    if len(reference) not in (1, len(population)):
        msg = (
            f"align needs one reference for all or one for each member; got {len(reference)} for {len(population)} "
            "members."
        )
        raise UsageError(msg)
    for what, one in (("reference", reference), ("population", population)):
        check_finite(what, one)
    if isinstance(method, str):
        check_choice("align method", method, METHODS)
        method = METHODS[method]()
    check_type("align method", method, tuple(METHODS.values()), f"one of {', '.join(METHODS)}, or with options")
    if isinstance(method, StraightThrough):  # which trains and evaluates networks halfway
        ends = [reference[[0] * len(population)] if len(reference) == 1 else reference, population]
        check_ends("straight-through matching", problem, ends, otherwise=None)
    return method


def reading_of(
    problem: Problem,
    nests: Sequence[Nest],
    reference: Population,
    population: Population,
    aligned: Population,
    found: Matched,
    seed: int,
    began: float,
    notes: tuple[str, ...],
) -> Reading:
    """What was found, as a reading; see `Alignment`."""
    names = [group.name for nest in nests for group in nest]
    of_groups = {
        "similarity before": similarity(nests, reference, population),
        "similarity after": similarity(nests, reference, aligned),
        "moved": moved_share(nests, found.orders),
    }
    of_members = {
        "distance before": (population.theta - reference.theta).norm(dim=1).cpu().numpy(),
        "distance after": (aligned.theta - reference.theta).norm(dim=1).cpu().numpy(),
        "sweeps": found.sweeps,
    }
    of_members |= {f"loss halfway {when}": losses for when, losses in found.losses.items()}
    arrays, dims = {**of_groups, **of_members}, dict.fromkeys(of_groups, ("group", "member"))
    dims |= dict.fromkeys(of_members, ("member",))
    coordinates: dict[str, Sequence[str] | np.ndarray] = {"group": names, "member": np.arange(len(population))}
    if found.alike:
        arrays |= {
            f"correlation {when}": np.stack([both[place] for both in found.alike.values()])
            for place, when in enumerate(("before", "after"))
        }
        dims |= dict.fromkeys(("correlation before", "correlation after"), ("matched", "member"))
        coordinates["matched"] = list(found.alike)
    late = int((~found.converged).sum())
    if late:
        notes = (*notes, f"{late} of {len(population)} members {found.unfinished}.")
    return Reading(
        "alignment",
        arrays,
        dims,
        coordinates,
        {name: problem.loss.unit for name in of_members if name.startswith("loss")},
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=notes,
    )


def _how(method: Method, drawn: Drawn) -> str:
    if isinstance(method, ActivationMatching):
        return f"Matched by the {method.measure} of activations on {drawn.text}."
    if isinstance(method, StraightThrough):
        return (
            f"Matched by the loss halfway, straight through {method.steps} steps; of all permutations met, those with "
            f"the lowest loss on {drawn.text} are kept, so that 'loss halfway after' flatters them."
        )
    return "Matched by weights."


def _unknown(problem: Problem, groups: Mapping | Sequence | None) -> tuple[str, ...]:
    """What the structure does not know."""
    if groups is not None or not problem.structure.unknown:
        return ()
    listed = ", ".join(map(str, problem.structure.unknown))
    return (f"What these operations read stays in its order, as it is not known what they do with units: {listed}.",)
