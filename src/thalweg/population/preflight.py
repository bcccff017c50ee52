"""What would make a number wrong, found before any work is done."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.data import Data, ExampleSet, LazyExamples
from thalweg.errors import ModelError
from thalweg.losses.names import Loss, Metric
from thalweg.losses.of_user import UserLoss
from thalweg.population.binding import call, find_beside
from thalweg.population.copying import copied, in_mode
from thalweg.population.differentiating import with_gradients
from thalweg.population.inspection import inspect
from thalweg.population.loss_checks import (
    Domain,
    check_gradient,
    check_mean,
    check_metric,
    check_own_state,
    check_targets,
    check_weights_constant,
    checked,
    shapes,
    unchecked,
    weighed_rows,
    weighing,
)
from thalweg.population.noise import near
from thalweg.population.outputs import Absent
from thalweg.population.padding import Padding
from thalweg.population.precision import Precision
from thalweg.population.telling_rows import telling_rows
from thalweg.randomness import drew, generator, global_stream, torch_states

_EXAMPLES, _PROBED = 8, 64


@dataclass(frozen=True)
class Preflight:
    """A model, a loss and metrics tried out on a few examples, on copies and in a random stream of their own.

    Raises:
        ModelError: the model cannot be called on the data or does not return tensors; its output does not
            fit the loss or a metric; what it returns for an example depends on the others of the batch in
            evaluation mode; the loss is not a mean over examples, or its gradient is not finite at values of weight 0;
            or a second call of the model with equal inputs, tensors and random stream gives something else.
    """

    model: nn.Module
    loss: Loss
    metrics: tuple[Metric, ...]
    data: Data
    rows: Int64[Tensor, " few"] = field(init=False)
    precision: torch.dtype = field(init=False)
    domain: Domain = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", torch.arange(min(_EXAMPLES, len(self.data.train))))
        object.__setattr__(self, "precision", next(p.dtype for p in self.model.parameters() if p.requires_grad))
        inputs, targets = self.examples()
        with global_stream(0, "preflight"), torch.no_grad():
            untouched = torch_states()
            try:
                outputs = self._outputs(copied(self.model).eval(), inputs)
            except ModelError as error:
                if not with_gradients(self.model, error):
                    raise
                inputs, targets = self.examples()
                outputs = self._outputs(copied(self.model).eval(), inputs)
            if not isinstance(outputs, Tensor):
                find_beside(self.model, inputs)
                outputs = self._outputs(copied(self.model).eval(), inputs)
            if not drew(untouched):
                self._check_apart(inputs, outputs)
            if isinstance(self.loss, UserLoss):
                _check_present(self.loss, outputs, targets)
            object.__setattr__(self, "loss", checked(self.loss, outputs, targets))
            if any(isinstance(function, UserLoss) for function in (self.loss, *self.metrics)):
                self._try_own(inputs, outputs, targets)
            object.__setattr__(self, "domain", Domain((self.loss, *self.metrics), outputs))
            check_targets(self.loss, self.domain, self.data)
            if self.loss.weighted:
                object.__setattr__(self, "rows", weighed_rows(self.loss, self.data.train, self.rows, outputs))

    def _try_own(self, inputs: Any, outputs: Any, targets: Any) -> None:
        """Try the loss and the metrics that are the user's own, and find out how they weigh examples."""
        for function in (self.loss, *self.metrics):
            if isinstance(function, UserLoss):
                check_own_state(function, outputs, targets)
        for metric in self.metrics:
            check_metric(metric, outputs, targets)
        module, others = self._nudged(inputs, outputs, targets)

        def outputs_of(given: Any) -> Any:
            return self._outputs(module, given)

        weighed = [
            weighing(function, self.data, others, outputs_of) if isinstance(function, UserLoss) else function
            for function in (self.loss, *self.metrics)
        ]
        object.__setattr__(self, "loss", weighed[0])
        object.__setattr__(self, "metrics", tuple(weighed[1:]))
        if isinstance(self.loss, UserLoss):
            check_mean(self.loss, outputs, targets)
            check_weights_constant(self.loss, outputs, others, targets)
            check_gradient(self.loss, self.data.train, others, outputs_of)

    def draws(self, *, training: bool) -> bool:
        """Whether model or loss draw random numbers (dropout, sampling), found by watching torch's generators.

        Raises:
            ModelError: a second call of the model gives something else, or the loss cannot take its outputs.
        """
        module = in_mode(copied(self.model), training=training)
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        inputs, targets = self.examples()
        with global_stream(0, "preflight"), torch.no_grad():
            with Precision(self.precision) as precision:
                first = self._called(module, inputs)
                loss = checked(self.loss, first, targets)
            object.__setattr__(self, "precision", precision.coarsest)
            if isinstance(loss, UserLoss):
                check_mean(loss, first, targets)
            after = torch_states()
        with global_stream(0, "preflight"), torch.no_grad():
            untouched = torch_states()
            for name, buffer in module.named_buffers():
                if name in buffers and buffer.shape == buffers[name].shape:  # else a cache that the call made
                    buffer.copy_(buffers[name])
            _check_same(first, self._called(module, inputs))
        return not all(map(torch.equal, after, untouched))

    def pads(self, *, training: bool) -> bool:
        """Whether the model looks up an embedding that is trained but for a padding row (`padding_idx`).

        Raises:
            ModelError: the model cannot be called in that mode.
        """
        module = in_mode(copied(self.model), training=training)
        with global_stream(0, "preflight"), torch.enable_grad(), Padding() as padding:
            self._outputs(module, self.examples()[0])
        return padding.found

    def examples(self) -> tuple[Any, Any]:
        """Inputs and targets of the first few examples, or where the loss weighs none of these, of others."""
        return self.data.train.take(self.rows)

    def watched(self) -> Data:
        """The data, whose targets are looked at as they are read where they are not in memory."""
        if self.domain.is_everything:
            return self.data
        train, test = self.data.train, self.data.test
        if isinstance(train, LazyExamples):
            train = train.checked(self.domain)
        if isinstance(test, LazyExamples):
            test = test.checked(self.domain)
        return replace(self.data, train=train, test=test)

    def telling(self) -> ExampleSet:
        """Some training examples drawn at random, with some of many classes: what tells losses of one name apart."""
        return self.data.train.select(telling_rows(self.data.train, _PROBED))

    def _nudged(self, inputs: Any, outputs: Any, targets: Any) -> tuple[nn.Module, Any]:
        """The model at other parameters and its outputs there; as it is, where losses would not be finite there."""
        module = copied(self.model).eval()
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for parameter, value in zip(trained, near(trained, generator(0, "preflight")), strict=True):
            parameter.copy_(value)
        try:
            others, loss = self._outputs(module, inputs), unchecked(self.loss)
            there, here = (loss.entries(one, targets)[0].isfinite() for one in (others, outputs))
            if bool((there | ~here).all()):  # an example that does not count has none
                return module, others
        except Exception:  # whatever cannot be computed there
            pass
        return copied(self.model).eval(), outputs

    def _check_apart(self, inputs: Any, outputs: Any) -> None:
        """Raise ModelError where the first examples have other outputs in a batch of half as many.

        Nothing is said where the model cannot be called on that, or gives something else for the same batch too.
        """
        count = len(tree_leaves(inputs)[0])
        some = tree_map(lambda leaf: leaf[: count // 2] if leaf.ndim and len(leaf) == count else leaf, inputs)
        try:
            fewer = call(copied(self.model).eval(), some) if count > 1 else outputs
            if _same(outputs, fewer, count // 2):
                return
            again = call(copied(self.model).eval(), inputs)
        except Exception:  # whatever a model cannot do with so few examples
            return
        if _same(outputs, again, count):
            inspect(self.model, inputs, training=False)  # it may be that a call writes into the model
            msg = (
                "What the model returns for an example in evaluation mode depends on the other examples of the batch, "
                "so its loss would depend on the size of batches. Normalize by running statistics "
                "(track_running_stats=True), or within an example (GroupNorm, LayerNorm)."
            )
            raise ModelError(msg)

    def _called(self, module: nn.Module, inputs: Any) -> Any:
        """Its outputs, in training mode of a call with gradients, as training calls it: it may register hooks."""
        with torch.set_grad_enabled(module.training):
            return tree_map(Tensor.detach, self._outputs(module, inputs))

    def _outputs(self, module: nn.Module, inputs: Any) -> Any:
        before = [leaf._version for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
        try:
            outputs = call(module, inputs)
        except Exception as error:
            mode = " in training mode" if module.training else ""
            msg = f"The model cannot be called{mode} on the training inputs {shapes(inputs)}: {error}"
            raise ModelError(msg) from error
        if before != [leaf._version for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]:
            msg = (
                "The model writes into its inputs, which are the data themselves; where a layer works in place "
                "(inplace=True, x += ...), let it give a new tensor."
            )
            raise ModelError(msg)
        leaves = tree_leaves(outputs)
        if not leaves or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves):
            single = "; a loss of the whole batch is computed by loss=, from outputs and targets"
            msg = (
                "The model must return a tensor with a row for each example, or tuples, dicts, dataclasses of such, "
                f"and returned {shapes(outputs)}{single if isinstance(outputs, Tensor) else ''}."
            )
            raise ModelError(msg)
        return outputs


def _check_present(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError where the loss returns what is no output with a row for each example."""
    try:
        found = loss.function(outputs, targets)
    except Exception:  # said by the check that follows
        return
    if isinstance(found, Absent):
        raise found.refused()


def _check_same(first: Any, second: Any) -> None:
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    if all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True) for a, b in pairs):
        return
    msg = (
        "The model gives different outputs at a second call with the same inputs, parameters, buffers and random "
        "stream. Keep what changes between calls in buffers (register_buffer), and draw random numbers with torch's "
        "global generator, which is set for every member and step."
    )
    raise ModelError(msg)


def _same(one: Any, other: Any, count: int) -> bool:
    """Whether the outputs of the first examples are equal to rounding, which may be that of another kernel."""
    for whole, part in zip(tree_leaves(one), tree_leaves(other), strict=True):
        if not part.ndim or len(part) < count or not part.is_floating_point():
            continue  # not one value per example, or classes, which rounding may decide
        a, b = whole[:count], part[:count]
        near = torch.finfo(a.dtype).eps ** (1 / 3)
        size = float(a.abs().nan_to_num(0, 0, 0).amax()) if a.numel() else 0.0
        if a.shape != b.shape or not torch.allclose(a, b, rtol=near, atol=near * size, equal_nan=True):
            return False
    return True
