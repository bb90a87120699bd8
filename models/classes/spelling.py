"""One spelling of names that people write in several ways."""


def spelled(name: str) -> str:
    """A name in small letters, with single spaces in place of underscores, hyphens and runs of spaces.

    Args:
        name: as somebody wrote it.

    Returns:
        the name by which two spellings are compared.

    >>> spelled("Golden_Retriever") == spelled("golden retriever")
    True
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
