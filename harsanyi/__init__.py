"""What a network knows, and what fine-tuning kept, dropped and learned, from saved checkpoints.

Knowledge is measured as AND and OR interactions (Harsanyi dividends) between image regions or words, from the
network's output on all 2ⁿ masked versions of each input. From checkpoints to a figure::

    import harsanyi as hs
    inputs = hs.data.load("photos/test").sample(50, seed=0)
    players = hs.Players.grid(224, 224, 4, 4).choose(12, seed=0)
    nets = [hs.models.load("timm:resnet50", file, classes=["cat", "dog"]) for file in ("pre.pth", "ft.pth")]
    y = [net.outputs_of(*inputs.level()) for net in nets]  # by name, not by number
    games = [hs.MaskedModel(n.model, n.preprocess(inputs.items), players, labels=k) for n, k in zip(nets, y)]
    change = hs.compare(*[hs.extract(game, hs.SparseAndOr()) for game in games])
    hs.plot_strength_by_order(change).figure.savefig("change.png")

The names here are the most used ones. All others are in four packages: `harsanyi.interactions` (games, value
tables, effects), `harsanyi.models` (networks and checkpoints), `harsanyi.data` (inputs and labels) and
`harsanyi.analyses` (questions about knowledge, figures, reports, the command line).
`harsanyi.pictures` makes 8-bit pictures of those of any other mode.

Nothing is imported before it is asked for:

>>> from harsanyi import And, Interactions, Players
>>> Players.grid(28, 28, 4, 4).n
16
"""

from pathlib import Path as _Path

import lazy_loader

__version__ = "0.1.0"

# A checkout has links to the four packages in here. An unpacked sdist has none: they lie beside this folder.
if not _Path(__file__).with_name("models").is_dir():
    __path__.append(str(_Path(__file__).parents[1]))

# The stub beside this file lists the names, for type checkers and for this loader.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
