"""What is read from a Hugging Face folder or hub, without running code from there."""

from pathlib import Path
from typing import Any

from harsanyi.models.loading.checkpoints import read_json


def from_hub(auto: Any, source: str, **options: Any) -> Any:
    """``from_pretrained`` without a hub request for a local folder, and with errors in one sentence.

    Args:
        auto: a class of transformers, such as AutoConfig.
        source: a folder or a name on the hub.
        options: for ``from_pretrained``.

    Returns:
        what the class makes of it.

    Raises:
        FileNotFoundError: it is not there, or transformers does not understand it.
    """
    local = Path(source).is_dir()
    try:
        return auto.from_pretrained(source, local_files_only=local, trust_remote_code=False, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        where = "the local folder" if local else "a local folder or on the Hugging Face hub"
        raise FileNotFoundError(f"{auto.__name__} cannot load {source} from {where}: {reason}") from error


def timm_folder(name: str) -> Path | None:
    """The folder that a name is, if timm wrote it: its config.json names an architecture of timm's."""
    path = Path(name.removeprefix("local-dir:"))
    content = read_json(path / "config.json")
    return path if isinstance(content.get("architecture"), str) and "pretrained_cfg" in content else None
