"""Tables that are made once and then read from a csv."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from harsanyi.writing import whole


def read_or_make(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table of a csv; where there is no such file, it is made and written first, whole or not at all.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     tables = [read_or_make(path, lambda: pd.DataFrame({"value": [k]})) for k in (1, 2)]
    >>> [table.value.tolist() for table in tables]
    [[1], [1]]
    """
    if not path.is_file():
        with whole(path) as partial:
            make().to_csv(partial, index=False)
    return pd.read_csv(path, dtype={"grouping": str})
