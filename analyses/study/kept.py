"""What a study's folder keeps as JSON beside its tables."""

import json
from pathlib import Path
from typing import Any

FACTS = "facts.json"


KEPT_FACTS = {"of": str, "facts": dict, "classes": dict, "performance": list, "plans": dict}


def _keep_facts(folder: Path, known: dict[str, Any]) -> None:
    (folder / FACTS).write_text(json.dumps(known, indent=1), encoding="utf-8")


def _kept_facts(folder: Path) -> dict[str, Any]:
    """What `_known` kept; nothing where there is no such file, or a damaged one."""
    try:
        kept = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return {name: kind(kept[name]) for name, kind in KEPT_FACTS.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {name: kind() for name, kind in KEPT_FACTS.items()}
