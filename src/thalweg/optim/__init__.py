"""Update rules: short formulas over theta (members, parameters)."""

from thalweg.optim.adam import Adam, AdamW
from thalweg.optim.around import Around
from thalweg.optim.average import Averaged
from thalweg.optim.filters import Centralized, Grokfast, Orthogonal
from thalweg.optim.momentum import Momentum, Nesterov
from thalweg.optim.muon import Muon
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.rule import Rule, Values
from thalweg.optim.sam import SAM
from thalweg.optim.sgd import SGD
from thalweg.optim.updater import Updater

RULES: dict[str, type[Rule]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "muon": Muon,
}

__all__ = [
    "RULES",
    "SAM",
    "SGD",
    "Adam",
    "AdamW",
    "Around",
    "Averaged",
    "Centralized",
    "Grokfast",
    "Momentum",
    "Muon",
    "Nesterov",
    "Orthogonal",
    "RMSprop",
    "Rule",
    "Updater",
    "Values",
]
