"""Names near to a misspelt one."""

import difflib
from collections.abc import Sequence


def near(name: str, names: Sequence[str]) -> str:
    """The names like a misspelt one, for a message; "" where there are none.

    >>> near("resnet5O", ["resnet50", "vgg16"])
    ' (near: resnet50)'
    """
    matches = difflib.get_close_matches(name, names, n=3)
    return f" (near: {', '.join(matches)})" if matches else ""
