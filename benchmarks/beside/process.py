"""A process of its own for one command: python -m benchmarks.beside.process FILE.json COMMAND [OPTIONS]

FILE.json has the number of games that are really evaluated (0 for all) and the store of all tables (or null),
and gets the seconds of each part.
"""

import json
import sys
from pathlib import Path

from benchmarks.beside.parts import Parts


def main() -> None:
    path, arguments = Path(sys.argv[1]), sys.argv[2:]
    wanted = json.loads(path.read_text())
    with Parts() as parts:
        from harsanyi.analyses.command.cli import main as harsanyi

        if wanted["games"]:
            from benchmarks.beside import scaled

            scaled.use(wanted["games"], wanted["tables"] and Path(wanted["tables"]))
        harsanyi(arguments)
    path.write_text(json.dumps(parts.seconds))


if __name__ == "__main__":
    main()
