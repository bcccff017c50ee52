"""Where work ran is told as provenance tells it."""

import platform
import subprocess
import sys
from importlib.metadata import version

import torch

from thalweg.results import Provenance
from thalweg.workers import Here, Place


def test_this_process_is_the_one_of_provenance():
    place, provenance = Place.here(), Provenance.here()
    assert (place.cpu, place.threads) == (provenance.cpu, provenance.threads)
    assert place.torch == provenance.versions["torch"] == version("torch")
    assert place.thalweg == provenance.versions["thalweg"]
    assert place.python == platform.python_version()
    assert place.threads == torch.get_num_threads()


def test_here_is_this_process():
    (done,) = Here().map(lambda item, tell: item, [1], lambda number, progress: None)
    assert done.place == Place.here()


def test_the_room_loads_no_torch_and_neither_engine():
    script = "import sys, thalweg.workers; print({'torch', 'joblib', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
