"""What is kept: arrays as JSON and safetensors, state files, and a directory of records that survives a kill."""

from thalweg.storage.records import Record
from thalweg.storage.statefile import load_state_file, save_state_file
from thalweg.storage.store import Store

__all__ = ["Record", "Store", "load_state_file", "save_state_file"]
