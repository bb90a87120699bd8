"""``python -m harsanyi``: the command line."""

import sys
from pathlib import Path

# `-m` puts the working folder first on the path, where a user's own datasets/ or utils.py would be taken for
# a library that this project imports.
if not sys.flags.safe_path and sys.path and Path(sys.path[0]) == Path.cwd():
    del sys.path[0]

from harsanyi.analyses.command.cli import main

if __name__ == "__main__":
    main()
