import csv
import io

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.results import Table


def test_printed_columns_line_up() -> None:
    table = Table({"arm": np.array(["dense", "ticket"]), "loss": np.array([1.25, 10.0]), "n": np.array([5, 10])})
    assert str(table).splitlines() == [
        "arm     loss   n",
        "dense   1.25   5",
        "ticket    10  10",
    ]


def test_long_tables_leave_out_the_middle() -> None:
    lines = str(Table({"step": np.arange(1000)})).splitlines()
    assert len(lines) == 22
    assert lines[11] == "... 980 more rows ..."
    assert (lines[1].strip(), lines[-1].strip()) == ("0", "999")


def test_csv_reads_back_exactly() -> None:
    values = np.array([0.1, 1 / 3, 1e-300, np.nan, np.inf])
    table = Table({"name, quoted": np.array(['a"b', "c\nd", "e,f", "", "g"]), "value": values})
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert rows[0] == ["name, quoted", "value"]
    assert [row[0] for row in rows[1:]] == ['a"b', "c\nd", "e,f", "", "g"]
    np.testing.assert_array_equal([float(row[1]) for row in rows[1:]], values)


def test_an_empty_table_prints_its_head() -> None:
    assert str(Table({"a": np.array([]), "b": np.array([])})) == "a  b"


@pytest.mark.parametrize("columns", [{"a": np.ones(2), "b": np.ones(3)}, {"a": np.ones((2, 2))}])
def test_columns_that_do_not_fit(columns: dict) -> None:
    with pytest.raises(UsageError, match="one length"):
        Table(columns)
