"""Bounds: the board of a network of 50,000 parameters, and measures of 100 networks as one population.

    python benchmarks/bounds.py

prints the seconds of the board of a trained 64-512-32-10 network on digits, with the draws of its Gibbs predictor; and
those of all measures of complexity of 100 small networks, once as one population and once one after the other (ten of
them, times ten), with the ratio.
"""

import time

import thalweg as tw
from thalweg.generalization import bounds

NETWORKS, ALONE = 100, 10


def board() -> tuple[float, int]:
    """Seconds, and parameters."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 512, 32, 10), tw.data.digits())
    initial = problem.initialize([500])
    recipe = tw.Recipe(tw.optim.Adam(1e-3), 300, 100, evaluate=1)
    final = tw.train(problem, recipe, [500], progress=None).final
    began = time.perf_counter()
    bounds.board(problem, final, initial=initial, held_out="test", progress=None)
    return time.perf_counter() - began, problem.layout.parameters


def measures() -> tuple[float, float]:
    """Seconds together, and one after the other."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits().subset(train=300, test=100))
    seeds = range(500, 500 + NETWORKS)
    initial = problem.initialize(seeds)
    final = tw.train(problem, tw.Recipe(tw.optim.Adam(3e-3), 150, 50, evaluate=1), list(seeds), progress=None).final
    bounds.complexity_measures(problem, final[:1], initial=initial[:1], draws=1, progress=None)  # what is traced once
    began = time.perf_counter()
    bounds.complexity_measures(problem, final, initial=initial, progress=None)
    together = time.perf_counter() - began
    began = time.perf_counter()
    for member in range(ALONE):
        bounds.complexity_measures(problem, final[member], initial=initial[member], progress=None)
    return together, (time.perf_counter() - began) * NETWORKS / ALONE


def main() -> None:
    """Print the table."""
    seconds, parameters = board()
    print(f"board of {parameters:,} parameters: {seconds:.1f} s")
    together, alone = measures()
    print(f"measures of {NETWORKS}: {together:.1f} s together, {alone:.1f} s one by one, {alone / together:.1f} x")


if __name__ == "__main__":
    main()
