"""What the options of early stopping, `validation` and `patience`, can be. Imports no torch."""

from harsanyi.analyses.study.settings import Settings


def require_early_stopping(settings: Settings, validation: float) -> None:
    """Refuse a share of samples that is none, and a patience without samples to be patient over.

    Args:
        settings: with the field patience.
        validation: the share of the samples that validates, their option `validation`.

    Raises:
        ValueError: names the option.
    """
    if not 0 <= validation < 1:
        raise ValueError(
            f"--validation is {validation}: expected a share of samples, 0 or more and less than 1"
        )
    if not validation:
        settings.refuse_idle(("patience",), "for early stopping, and --validation is 0")
    settings.require_least({"patience": 1})
