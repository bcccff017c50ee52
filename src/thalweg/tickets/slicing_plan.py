"""How a model was made smaller, as JSON: enough to build the small model from the user's own code."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from thalweg.errors import StorageError, check_type
from thalweg.results import Summarized, Table
from thalweg.storage.encoding import parsed
from thalweg.tickets.slicing_surgery import remove_modules, replace_tensors, set_attributes

_FORMAT = 1


@dataclass(frozen=True)
class SlicingPlan(Summarized):
    """What of a model was removed; with a state dict, all that is needed to load the small model.

    The class of the small model is the user's own: parameters and buffers have other shapes, and the numbers that its
    layers hold of their sizes are others. Nothing of it is pickled.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> small = tw.tickets.sliced(problem, problem.initialize(1), {"hidden1": [0, 3, 5]})
    >>> text, state = small.plan.to_json(), small.population.state_dict(0)
    >>> net = tw.tickets.SlicingPlan.from_json(text).module(problem.model)
    >>> net.load_state_dict(state)
    <All keys matched successfully>
    >>> net.hidden1, net(torch.zeros(2, 64)).shape
    (Linear(in_features=64, out_features=3, bias=True), torch.Size([2, 10]))

    Args:
        shapes: of the parameters and buffers that were cut, by name.
        attributes: what modules hold of their sizes: path -> name -> value.
        removed: paths of modules that are the identity now.
        kept: which units stay, one list a member, by group.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    kept: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """How many tensors are smaller and how many modules gone."""
        return {"tensors cut": f"{len(self.shapes)}", "modules removed": f"{len(self.removed)}"}

    def details(self) -> Table:
        """Every tensor that was cut."""
        shapes = [" x ".join(map(str, shape)) for shape in self.shapes.values()]
        return Table({"tensor": list(self.shapes), "shape": shapes})

    def module(self, model: nn.Module | Callable[[], nn.Module]) -> nn.Module:
        """A model of the small shapes, into which a state dict can be loaded; until then what was cut is zero.

        Args:
            model: the model that was sliced, or a function that builds it; a module is copied.

        Raises:
            StorageError: another model, which lacks a tensor or module of the plan.
        """
        module = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
        check_type("SlicingPlan.module model", module, nn.Module, "a module, or a function that builds one")
        tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(
            module.named_buffers(remove_duplicate=False)
        )
        paths = dict(module.named_modules(remove_duplicate=False))
        for name in self.shapes:
            if name not in tensors:
                msg = f"The slicing plan is of another model: this one has no parameter or buffer {name!r}."
                raise StorageError(msg)
        for path in (*self.attributes, *self.removed):
            if path not in paths:
                msg = f"The slicing plan is of another model: this one has no module {path!r}."
                raise StorageError(msg)
        new = {name: torch.zeros_like(tensors[name].detach().new_empty(shape)) for name, shape in self.shapes.items()}
        replace_tensors(module, new)
        set_attributes(module, self.attributes)
        remove_modules(module, self.removed)
        return module

    def to_document(self) -> dict[str, Any]:
        """The plan as JSON-able values."""
        return {"thalweg": "slicing plan", "format": _FORMAT, **json.loads(json.dumps(asdict(self)))}

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps(self.to_document(), allow_nan=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "SlicingPlan":
        """The plan `to_document` was called on.

        Raises:
            StorageError: no such document, or one of another format.
        """
        if not isinstance(document, Mapping) or document.get("thalweg") != "slicing plan":
            msg = "This JSON is not a slicing plan; write what SlicingPlan.to_json() gave."
            raise StorageError(msg)
        if document.get("format") != _FORMAT:
            msg = f"The slicing plan has format {document.get('format')!r}, and {_FORMAT} is read here."
            raise StorageError(msg)
        try:
            return cls(
                {str(name): tuple(map(int, shape)) for name, shape in document["shapes"].items()},
                {str(path): dict(values) for path, values in document["attributes"].items()},
                tuple(map(str, document["removed"])),
                {name: tuple(tuple(map(int, one)) for one in of) for name, of in document["kept"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"This JSON is not a complete slicing plan: {error!r}."
            raise StorageError(msg) from error

    @classmethod
    def from_json(cls, text: str) -> "SlicingPlan":
        """The plan `to_json` was called on.

        Raises:
            StorageError: the text is not JSON, or no slicing plan.
        """
        return cls.from_document(parsed(text))
