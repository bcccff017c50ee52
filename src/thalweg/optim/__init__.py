"""Update rules: short formulas over theta (members, parameters)."""

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.optim.adafactor import Adafactor
from thalweg.optim.adagrad import Adagrad
from thalweg.optim.adam import Adam, AdamW
from thalweg.optim.amsgrad import AMSGrad
from thalweg.optim.average import Averaged
from thalweg.optim.explain import Explanation, explain
from thalweg.optim.follow import follow
from thalweg.optim.frozen_norm import FrozenNorm
from thalweg.optim.gradient_transforms import Centralized, Grokfast, Orthogonal
from thalweg.optim.lion import Lion
from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.momentum import Momentum, Nesterov
from thalweg.optim.muon import Muon
from thalweg.optim.nadam import NAdam
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.rule import Rule
from thalweg.optim.sam import SAM
from thalweg.optim.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from thalweg.optim.sgd import SGD
from thalweg.optim.slimming import Slimming
from thalweg.optim.soap import SOAP
from thalweg.optim.stability import preconditioner, stability_limit
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.torch_optimizer import TorchOptimizer
from thalweg.optim.updater import Updater
from thalweg.optim.wrapper import Wrapper

if TYPE_CHECKING:
    from thalweg.optim import testing

RULES: dict[str, type[Rule]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "amsgrad": AMSGrad,
    "nadam": NAdam,
    "adagrad": Adagrad,
    "lion": Lion,
    "muon": Muon,
    "soap": SOAP,
    "adafactor": Adafactor,
    "schedule-free-sgd": ScheduleFreeSGD,
    "schedule-free-adamw": ScheduleFreeAdamW,
}

__all__ = [
    "RULES",
    "SAM",
    "SGD",
    "SOAP",
    "AMSGrad",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Averaged",
    "Centralized",
    "Explanation",
    "FrozenNorm",
    "Grokfast",
    "Lion",
    "MatrixRule",
    "Momentum",
    "Muon",
    "NAdam",
    "Nesterov",
    "Orthogonal",
    "RMSprop",
    "Rule",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Slimming",
    "StepHyperparameters",
    "TorchOptimizer",
    "Updater",
    "Wrapper",
    "explain",
    "follow",
    "preconditioner",
    "stability_limit",
    "testing",
]


def __getattr__(name: str) -> Any:
    """Import `testing` when it is first used: no training needs it."""
    if name == "testing":
        return importlib.import_module("thalweg.optim.testing")
    msg = f"module 'thalweg.optim' has no attribute {name!r}"
    raise AttributeError(msg)
