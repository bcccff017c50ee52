"""Training the same model on several training sets at once, so that there is a variance to speak of."""

from dataclasses import replace

from thalweg.errors import UsageError, check_count, check_type
from thalweg.generalization.dealt import dealt
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.training import MemberGrid, Recipe, train
from thalweg.workers import Workers


@guarded
def refit(
    problem: Problem,
    recipe: Recipe,
    *,
    sets: int,
    seeds: int = 1,
    size: int | None = None,
    seed: int = 0,
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Population:
    """Train on disjoint parts of the training set, from several seeds each: members sets x seeds, seeds fastest.

    No two members share a seed, so that seeds are nested in sets. Parts are smaller than the whole, and so are the fits
    worse: it is the bias and variance of training sets of that size.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> fits = tw.generalization.bias_variance.refit(
    ...     problem, tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=32), sets=4, seeds=2)
    >>> len(fits)
    8

    Args:
        problem: whose training examples are dealt out; its model, loss and test examples are those of all fits.
        recipe: how each is trained; it is evaluated at the first and last step alone.
        sets: how many parts, disjoint.
        seeds: how many members are trained on each.
        size: examples of each part; None: as many as there are.
        seed: of the parts, the stream (seed, "refit"), and of members, which are seed x sets x seeds + 0, 1, ...
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: more examples than there are, or a recipe with sweeps.

    Cost: one run of sets x seeds members.
    """
    check_type("refit problem", problem, Problem, "a Problem")
    check_type("refit recipe", recipe, Recipe, "a Recipe")
    check_count("refit sets", sets)
    check_count("refit seeds", seeds)
    whole = len(problem.data.train)
    size = whole // sets if size is None else size
    check_count("refit size", size)
    if sets * size > whole:
        msg = f"refit deals out {sets} x {size:,} examples, and there are {whole:,}; "
        raise UsageError(msg + (f"write size={whole // sets} or less." if whole >= sets else "write fewer sets."))
    parts, _ = dealt(whole, sets, size, seed=seed, stream="refit")
    own = [(seed * sets + part) * seeds + one for part in range(sets) for one in range(seeds)]
    if MemberGrid(recipe, own).members != len(own):
        msg = "refit trains one recipe, not a sweep; choose a value first, or call refit for each."
        raise UsageError(msg)
    bare, rows = replace(recipe, evaluate=0, snapshot=0), parts.repeat_interleave(seeds, 0)
    return train(problem, bare, own, examples=rows, progress=progress, workers=workers).final
