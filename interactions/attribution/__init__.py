"""The engine with the interface of a captum attribution.

`inputs` makes tensors, baselines and feature masks ready, `outputs` reads one number an example, `games`
plays the coalitions, and `attribution` is the class that captum's users call.
"""

from harsanyi.interactions.attribution.attribution import HarsanyiInteractions

__all__ = ["HarsanyiInteractions"]
