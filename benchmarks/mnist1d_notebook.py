"""The lottery tickets of the notebook that MNIST-1D comes with, searched for here, beside the accuracies it prints.

    python benchmarks/mnist1d_notebook.py            one seed, printed (two minutes on one core)
    python benchmarks/mnist1d_notebook.py --write    four seeds, and docs/mnist1d-notebook.md is written (six minutes)

A record and no test: it says what was found, in the band or not.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.results import Provenance
from thalweg.statistics import interval

WIDTH, ROUNDS, KEPT, SEEDS = 500, 11, 0.08, 4
BIASES = tuple(f"layer{number}.bias" for number in (1, 2, 3))
CONTROLS = ("shuffled", "random", "reinit")  # at the last round
PAGE = Path(__file__).parent.parent / "docs" / "mnist1d-notebook.md"

# What the notebook prints of two seeds after the last step, in percent, and the band that is expected of others.
PUBLISHED = {
    "ticket": ((75.6, 74.4), (73, 77)),
    "dense": ((66.4, 64.8), (63, 68)),
    "shuffled": ((60.6, 61.8), (59, 63)),
}
NAMES = {
    "shuffled": "random places, by layer",
    "random": "random places, anywhere",
    "reinit": "ticket's mask, new init",
}


class Network(nn.Module):
    """40-500-500-10, with ReLU; what the second layer gives is added to what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3 = nn.Linear(40, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, 10)."""
        h = torch.relu(self.layer1(x))
        return self.layer3(h + torch.relu(self.layer2(h)))


def searched(seeds: int) -> tw.tickets.Search:
    """The notebook's setting in geometric rounds: biases are pruned too, and every tensor at the same rate."""
    problem = tw.Problem(Network, tw.data.mnist1d())
    recipe = tw.Recipe(tw.optim.Adam(2e-2), steps=1_501, batch_size=100, evaluate=0)
    return tw.tickets.search(
        problem,
        recipe,
        seeds=seeds,
        rounds=ROUNDS,
        keep=KEPT ** (1 / ROUNDS),
        arms={"ticket": (), **dict.fromkeys(CONTROLS, (ROUNDS,))},
        policy=tw.tickets.Policy(also=BIASES),
    )


def table(found: tw.tickets.Search) -> list[str]:
    """A line for every arm at the last round."""
    lines = ["| | found, % | seeds | notebook, % | expected, % | inside |", "|---|---|---|---|---|---|"]
    for arm in ("ticket", "dense", *CONTROLS):
        values = 100 * found.of(ROUNDS, arm)
        mean = interval.mean(values, bounds=(0, 100)) if len(values) > 1 else f"{values[0]:.1f}"
        printed, (low, high) = PUBLISHED.get(arm, ((), (0, 0)))
        inside = ("yes" if low <= values.mean() <= high else "no") if printed else ""
        cells = [
            NAMES.get(arm, arm),
            str(mean),
            ", ".join(f"{value:.1f}" for value in values),
            ", ".join(map(str, printed)),
            f"{low} to {high}" if printed else "",
            inside,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def curve(found: tw.tickets.Search) -> list[str]:
    """The ticket at every sparsity, mean over seeds."""
    rows = [
        f"| {1 - density:.1%} | {100 * found.of(level, 'ticket').mean():.1f} |"
        for level, density in enumerate(found.densities, start=1)
    ]
    return ["| sparsity | ticket, % |", "|---|---|", *rows]


def page(found: tw.tickets.Search) -> str:
    """The whole of docs/mnist1d-notebook.md."""
    made = Provenance.here(
        [int(seed) for seed in found.reading.coordinate("seed")],
        plan=str(found.dense.plan),
        command="python benchmarks/mnist1d_notebook.py --write",
    )
    facts = [f"- {name}: {value}" for name, value in vars(made).items() if value not in (None, "")]
    parts: dict[str, Callable[[tw.tickets.Search], list[str]]] = {"table": table, "curve": curve}
    return TEXT.format(
        rounds=ROUNDS,
        sparsity=1 - found.densities[-1],
        facts="\n".join(facts),
        **{name: "\n".join(make(found)) for name, make in parts.items()},
    )


TEXT = """# The tickets of MNIST-1D's notebook, found again

Made by `python benchmarks/mnist1d_notebook.py --write`. A record of one run: nothing is tested against it.

The setting is that of the notebook on lottery tickets that MNIST-1D comes with (Greydanus and Kobak, arXiv:2011.14439):
40-500-500-10 with a residual second layer, initialized as torch does it; Adam at 2e-2, batches of 100, 1,501 steps; the
published 4,000 training and 1,000 test examples; masks by magnitude of weights and biases at one rate in every layer,
rewound to step 0; the accuracy after the last step, not the best on the way. Other than there, sparsity grows in
{rounds} geometric rounds instead of 100 linear ones, biases compete with biases alone, and batches are drawn by epochs
without replacement in place of one fixed cycle.

At {sparsity:.1%} sparsity, means over seeds with 95 % intervals; 1,000 test examples leave 1.5 points of doubt about
every network, which seeds share:

{table}

Inside: whether the mean is in the band that is expected by the notebook's two seeds. Which of the differences named
above makes those that are outside was not looked into.

{curve}

## Made by

{facts}
"""


def main() -> None:
    """Print it, and write it if asked to."""
    write = "--write" in sys.argv[1:]
    text = page(searched(SEEDS if write else 1))
    print(text)
    if write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
