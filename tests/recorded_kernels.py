"""Kernels as another package gave them: infinite width, networks with given weights, predictions in time.

`benchmarks/neural_tangents_reference.py` made the file and says the conventions.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FILE = Path(__file__).parent / "ntk" / "recorded" / "neural_tangents.json"


@dataclass(frozen=True)
class Recorded:
    """A kernel: what of, its inputs (float64, torch's order of axes), and NNGP and NTK of one output channel."""

    layers: str
    inputs: Tensor
    others: Tensor
    nngp: Tensor
    ntk: Tensor


@dataclass(frozen=True)
class RecordedNetwork:
    """A network with weights: `ntk` is (input, other input, output, other output)."""

    layers: str
    inputs: Tensor
    others: Tensor
    parameters: dict[str, Tensor]
    ntk: Tensor


@cache
def recorded() -> dict[str, Any]:
    """The whole file: also "weight_std", "bias_std", "versions", "conventions" and "dynamics"."""
    return json.loads(FILE.read_text())


def infinite(name: str) -> Recorded:
    """A kernel at infinite width, as "conv mean"; `list(recorded()["infinite"])` are the names."""
    case = recorded()["infinite"][name]
    first, second = _inputs(case["inputs"])
    return Recorded(case["layers"], first, second, _tensor(case["nngp"]), _tensor(case["ntk"]))


def empirical(name: str) -> RecordedNetwork:
    """A tangent kernel of given weights: "mlp" or "conv", parameters by their names in an `nn.Sequential`."""
    case = recorded()["empirical"][name]
    parameters = {one: _tensor(values) for one, values in case["parameters"].items()}
    return RecordedNetwork(case["layers"], *_inputs(case["inputs"]), parameters, _tensor(case["ntk"]))


def dynamics(name: str) -> Tensor:
    """A part of the recorded gradient flow on the kernels of "dense erf", as "train" or "posterior mean"."""
    return _tensor(recorded()["dynamics"][name])


def _inputs(kind: str) -> tuple[Tensor, Tensor]:
    first, second = recorded()["inputs"][kind]
    return _tensor(first), _tensor(second)


def _tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
