"""Peak memory of training against the size of theta, each case in a process of its own.

    python benchmarks/memory.py

Counted in matrices of theta's size, above what the process holds before the population is made: theta and
the rule's state are needed; at most three more, and the activations of one chunk, may come on top.
"""

import resource
import subprocess
import sys

MEMBERS, WIDTHS, BUDGET = 16, (64, 1024, 1024, 10), 2**25


def measure(rule: str) -> None:
    """Train in this process, and print what it took."""
    import thalweg as tw
    from thalweg.data import digits
    from thalweg.nets import mlp
    from thalweg.optim import RULES

    def train(widths: tuple[int, ...], members: int) -> tw.Run:
        problem = tw.Problem(lambda: mlp(*widths), digits(), memory_budget=BUDGET)
        recipe = tw.Recipe(RULES[rule](lr=tw.sweep.log(1e-4, 1e-3, members)), 5, 32, evaluate=0)
        return tw.train(problem, recipe, plan="stacked")

    train((64, 16, 10), 2)  # what libraries and threads need once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    run = train(WIDTHS, MEMBERS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    theta = run.final.theta
    matrix = theta.numel() * theta.element_size()
    state = len(run.recipe.optimizer.slots)
    grown = (peak - before) / matrix
    print(
        f"  {rule:9s} {grown:.2f} matrices of {matrix / 2**20:.0f} MiB: theta and {state} of state, "
        f"{grown - 1 - state:.2f} more (activation budget: {BUDGET / matrix:.2f})"
    )


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    print(f"{MEMBERS} MLPs {'-'.join(map(str, WIDTHS))}, batch 32")
    for rule in ("sgd", "momentum", "nesterov", "adamw"):
        subprocess.run([sys.executable, __file__, rule], check=True)


if __name__ == "__main__":
    main()
