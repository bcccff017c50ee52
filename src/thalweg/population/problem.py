"""Model x loss x data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.data import Data, from_user
from thalweg.errors import UsageError, check_type
from thalweg.guard import guarded
from thalweg.losses import Accuracy, CrossEntropy, Logistic, StableMax
from thalweg.losses.names import Loss, Metric, loss_named, metrics_named
from thalweg.losses.of_user import UserLoss
from thalweg.losses.per_position import NamedLoss
from thalweg.population.copying import copied
from thalweg.population.device import as_device
from thalweg.population.inspection import Inspection, inspect
from thalweg.population.layout import Layout, same_layout
from thalweg.population.population import Population
from thalweg.population.preflight import Preflight
from thalweg.population.structure import Structure
from thalweg.population.template import check_follows, template_of
from thalweg.randomness import isolated, listed
from thalweg.results import Summarized, Table
from thalweg.storage import load_state_file

_DTYPES = (torch.float32, torch.float64)


class Problem(Summarized):
    """What is minimized: a model, a loss and data. Everything Thalweg does starts from one.

    Args:
        model: a function that returns a fresh `nn.Module` (each member is one call), or a module,
            whose present weights are then where every member starts. It is copied, never changed.
        data: a `Data`, or whatever `thalweg.data.from_user` takes: (x, y), a Dataset, a DataLoader, arrays.
        loss: "cross_entropy", "squared_error", "logistic"; one of `losses` with options, such as
            `losses.CrossEntropy(class_weights=[1, 5], ignore_index=-100)`; or a function or module (output, target)
            that returns one number for the batch, or one value per example or token, or (values, weights) of those. One
            number is a mean over examples or a weighted one (class weights, ignored or padded tokens, by torch or by
            hand), which is found out and checked on examples from all of the data, and again wherever it is evaluated.
            Weighted, the objective is sum(w l) / sum(w) over what it is taken on: the batch in a training step, the
            whole sample everywhere else. Weights are of the data: they do not depend on the parameters. Values and
            their derivatives must be finite where the weight is 0, too, but where the function itself divides by 0.
        metrics: further functions (output, target) by name, which return what a loss may. None:
            accuracy, where the targets are classes, without those that the loss ignores.
        device, dtype: where and in what to compute; None is the model's own dtype.
        memory_budget: bytes that activations of one evaluation may take, at least those of one member on one batch of
            training, or on one example elsewhere.

    Raises:
        ModelError: the model cannot be called on the data, its output does not fit the loss or depends on the rest
            of the batch, or the loss is not a mean over examples, weighted or not, or has weights that cannot be meant,
            or its gradient is not finite at values of weight 0; it has something to train, or keeps something from call
            to call; targets that a loss or metric known here is not made for.
        DataError: the data holds non-finite numbers or lengths that do not match, or no target that counts.

    >>> import thalweg as tw
    >>> problem = tw.Problem(model=lambda: tw.nets.mlp(64, 16, 10), data=tw.data.digits(), loss="cross_entropy")
    >>> problem.layout.parameters, problem.dtype
    (1210, torch.float32)
    >>> problem.initialize(seeds=3).theta.shape
    torch.Size([3, 1210])

    A weighted loss of one's own, of tokens that are padded with -1:

    >>> import torch
    >>> def padded(output, target):
    ...     return tw.losses.CrossEntropy()(output, target.clamp_min(0)), target >= 0
    >>> tokens, following = torch.tensor([[0, 1, 2], [1, 0, 0]]), torch.tensor([[1, 2, 3], [0, -1, -1]])
    >>> tw.Problem(lambda: torch.nn.Embedding(4, 4), (tokens, following), padded).loss.weighted
    True
    """

    default_dtype: torch.dtype  # torch's, when the problem was made: what its model and loss mean by none

    def __new__(cls, *_: Any, **__: Any) -> "Problem":
        """Note torch's default dtype before anything is computed in it."""
        problem = super().__new__(cls)
        problem.default_dtype = torch.get_default_dtype()
        return problem

    @guarded
    def __init__(
        self,
        model: Callable[[], nn.Module] | nn.Module,
        data: Any,
        loss: str | NamedLoss | Callable[[Any, Any], Tensor | tuple[Tensor, Tensor]] = "cross_entropy",
        *,
        metrics: Mapping[str, Callable[[Any, Any], Tensor | tuple[Tensor, Tensor]]] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        memory_budget: int = 2**30,
    ) -> None:
        check_type("Problem dtype", dtype, (torch.dtype, NoneType), "torch.float32 or torch.float64")
        if dtype not in (None, *_DTYPES):
            msg = f"Problem dtype must be torch.float32 or torch.float64; got {dtype}."
            raise UsageError(msg)
        check_type("Problem memory_budget", memory_budget, int, "a number of bytes, such as 2**30")
        if memory_budget < 1:
            msg = f"Problem memory_budget must be at least 1 byte; got {memory_budget}."
            raise UsageError(msg)
        self.model = _builder(model)
        named = loss_named(loss)
        self.device = as_device(device)
        self.memory_budget = memory_budget
        with isolated(0, "template"):
            module = model if isinstance(model, nn.Module) else self.model()  # which may be one that it keeps
            self.template = template_of(module, self.device, dtype)
        self.layout = Layout.of(self.template)
        self.dtype = next(p.dtype for p in self.template.parameters() if p.requires_grad)
        if self.dtype not in _DTYPES:
            msg = f"The model's parameters are {self.dtype}, too coarse to measure in; write dtype=torch.float32."
            raise UsageError(msg)
        given = from_user(data).to(self.device, self.dtype)
        self.plans: dict[tuple, Any] = {}  # what execution measured, by shape of the work, and for how many calls
        self.bytes_of_example: dict[tuple, float] = {}  # activations of one member, by the shapes of its inputs
        self.audits: dict[str, int] = {}  # how often work was done that is audited now and then, by its name
        self.unstacked = ""  # why members are no longer stacked, once an audit found what is wrong
        functions = [_placed(one, self.device, self.dtype) for one in (named, *_metrics(named, metrics))]
        self.preflight = Preflight(self.template, functions[0], tuple(functions[1:]), given)
        self.data: Data = self.preflight.watched()
        self.loss, self.metrics = self.preflight.loss, self.preflight.metrics
        check_follows(module, self.template, self.preflight.examples)
        self.faults: dict[str, str] = {}  # what is wrong with second derivatives, by the matrix that needs them
        self.two_paths: str | None = None  # by what outputs with and without gradients differ; None: not yet looked at
        self._draws: dict[bool, bool] = {}
        self._pads: dict[bool, bool] = {}
        self._inspected: dict[bool, Inspection] = {}

    def facts(self) -> dict[str, str]:
        """Model, loss, metrics, data, and where and how precisely they are computed."""
        test = "" if self.data.test is None else f" and {len(self.data.test):,} test"
        metrics = ", ".join(metric.name for metric in self.metrics)
        own = isinstance(self.loss, UserLoss)
        return {
            "model": f"{type(self.template).__name__} of {self.layout.parameters:,} parameters",
            "loss": f"{self.loss.name}{', a weighted mean' if own and self.loss.weighted else ''}",
            **({"metrics": metrics} if metrics else {}),
            "data": f"{self.data.name}: {len(self.data.train):,} train{test} examples",
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
        }

    def details(self) -> Table:
        """Every tensor of the model."""
        return self.layout.details()

    @guarded
    def initialize(self, seeds: int | Iterable[int] = 1) -> Population:
        """Fresh members, one per seed (an integer n means seeds 0 to n - 1)."""
        check_type("initialize seeds", seeds, (int, np.integer, Iterable), "how many members, or a list of seeds")
        chosen = listed("initialize", seeds, self.layout.parameters * self.dtype.itemsize)
        if not chosen:
            msg = f"initialize seeds must be how many, at least 1, or a list of seeds; got {seeds!r}."
            raise UsageError(msg)
        return Population.initialize(self.model, chosen).to(self.device, self.dtype)

    @guarded
    def population(self, modules: nn.Module | Sequence[nn.Module]) -> Population:
        """Existing modules of this architecture as members; they are read, never changed.

        Raises:
            UsageError: a module of another architecture.
        """
        modules = [modules] if isinstance(modules, nn.Module) else modules
        population = Population.of(modules).to(self.device, self.dtype)
        same_layout(self.layout, population.layout)
        return population

    @guarded
    def load(self, states: Sequence[Mapping[str, Tensor] | str | Path]) -> Population:
        """State dicts of this architecture, or files of them (.safetensors, .pt), as members.

        Raises:
            StorageError: a file that cannot be read, or keys that do not fit (see `Population.load`).
        """
        read = [load_state_file(state) if isinstance(state, str | Path) else state for state in states]
        return Population.of([self.template]).load(read).to(self.device, self.dtype)

    @cached_property
    @guarded
    def structure(self) -> Structure:
        """The model's operations in order and the groups of its units, traced when first asked for; see `Structure`.

        Raises:
            ModelError: the model cannot be traced; the line and the remedy are said.
        """
        return Structure.of(self.template, self.preflight.examples()[0])

    def draws(self, *, training: bool) -> bool:
        """Whether model or loss draw random numbers in training or evaluation mode (dropout, sampling).

        Raises:
            ModelError: in that mode the model cannot be called, gives something else at a second call, or is no
                function of its parameters, buffers and inputs (see `inspection.inspect`).
        """
        if training and torch.is_inference_mode_enabled():
            msg = "Nothing can be trained within torch.inference_mode(); call this outside of it, or in no_grad()."
            raise UsageError(msg)
        if training not in self._draws:
            with torch.inference_mode(mode=False):
                draws = self.preflight.draws(training=training)
                self._inspected[training] = inspect(self.template, self.preflight.examples()[0], training=training)
                self._draws[training] = draws
        return self._draws[training]

    @property
    def precision(self) -> torch.dtype:
        """The coarsest floating dtype seen in calls of the model and its loss: to what their numbers are rounded."""
        return self.preflight.precision

    def pads(self, *, training: bool) -> bool:
        """Whether the model looks up an embedding that is trained but for a padding row, in that mode.

        Raises:
            ModelError: in that mode the model cannot be called.
        """
        if training not in self._pads:
            self.draws(training=training)
            with torch.inference_mode(mode=False):
                self._pads[training] = self.preflight.pads(training=training)
        return self._pads[training]

    def inspected(self, *, training: bool) -> Inspection:
        """What its calls in training or evaluation mode are like, such as why members are computed one by one.

        Raises:
            ModelError: see `draws`.
        """
        self.draws(training=training)
        return self._inspected[training]

    def check(self, population: Population) -> None:
        """Raise UsageError unless the population has this problem's architecture, dtype and device."""
        same_layout(self.layout, population.layout)
        theta = population.theta
        if theta.dtype != self.dtype or theta.device.type != self.device.type:
            msg = (
                f"The population is {theta.dtype} on {theta.device.type}, the problem {self.dtype} on "
                f"{self.device.type}; write population.to({str(self.device)!r}, {self.dtype})."
            )
            raise UsageError(msg)


def _metrics(loss: Loss, metrics: Mapping[str, Callable[[Any, Any], Any]] | None) -> tuple[Metric, ...]:
    if metrics is not None:
        return metrics_named(metrics)
    if isinstance(loss, StableMax):
        return (Accuracy(),)
    return (Accuracy(loss.ignore_index),) if isinstance(loss, CrossEntropy | Logistic) else ()


def _placed(function: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A loss or metric that is a module as a copy on that device, in that dtype; others as they are."""
    if not isinstance(function, UserLoss) or not isinstance(function.function, nn.Module):
        return function
    try:
        own = copied(function.function)
    except Exception:  # what cannot be copied is looked at closely, too: it may not change
        own = function.function
    return replace(function, function=own.to(device, dtype))


def _builder(model: Callable[[], nn.Module] | nn.Module) -> Callable[[], nn.Module]:
    if isinstance(model, nn.Module):
        return lambda: copied(model)
    if not callable(model):
        msg = f"model must be a function that returns an nn.Module, or an nn.Module; got {type(model).__name__}."
        raise UsageError(msg)
    _check_called_alone(model)

    def build() -> nn.Module:
        module = model()
        if not isinstance(module, nn.Module):
            msg = f"model() returned {type(module).__name__}; it must return a fresh nn.Module."
            raise UsageError(msg)
        return module

    return build


def _check_called_alone(model: Callable[..., Any]) -> None:
    """Raise UsageError for a class or function that cannot be called without arguments."""
    try:
        taken = signature(model)
    except (TypeError, ValueError):  # of what is written in C
        return
    try:
        taken.bind()
    except TypeError as error:
        name = getattr(model, "__name__", type(model).__name__)
        msg = f"model is called without arguments, but {name} is {error}; write model=lambda: {name}(...)."
        raise UsageError(msg) from None
