"""The command line: one file per verb. It has no public names; `thalweg --help` lists the verbs."""

__all__: list[str] = []
