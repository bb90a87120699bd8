"""What the options of early stopping, `validation` and `patience`, can be. Imports no torch."""

from harsanyi.analyses.study.settings import Settings


def require_both_parts(validation: float, number: int, name: str) -> None:
    """Refuse a share of which so many samples leave nothing to train on, or nothing to validate.

    Args:
        validation: the share, above 0.
        number: of samples, which `Inputs.split` will divide by 1 − validation.
        name: where they are from, before "has".

    Raises:
        ValueError: names both.

    >>> require_both_parts(0.1, 4, "--sizes")
    Traceback (most recent call last):
    ValueError: --sizes has 4: --validation 0.1 of them leaves a part empty
    """
    if not 0 < round((1 - validation) * number) < number:
        raise ValueError(f"{name} has {number}: --validation {validation:g} of them leaves a part empty")


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
