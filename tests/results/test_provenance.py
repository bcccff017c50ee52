import dataclasses
import getpass
import json
import socket
from datetime import UTC, datetime

import torch

from thalweg.results import Provenance


def test_it_says_what_computed() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    provenance = Provenance.here(3, torch.device("cpu"), torch.float64, plan="stacked", command="thalweg tour")
    assert (provenance.seed, provenance.device, provenance.dtype) == (3, "cpu", "float64")
    assert provenance.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert provenance.threads == torch.get_num_threads()
    assert before <= datetime.fromisoformat(provenance.time) <= datetime.now(UTC)
    assert provenance.cpu


def test_it_survives_json_and_names_neither_host_nor_user() -> None:
    provenance = Provenance.here([1, 2], plan={"chunk": 3})
    text = json.dumps(provenance.to_document())
    assert Provenance.from_document(json.loads(text)) == provenance
    fields = dataclasses.asdict(provenance)
    words = {str(value) for value in [*fields.values(), *fields["versions"].values()]}
    assert socket.gethostname() not in words
    assert getpass.getuser() not in words
