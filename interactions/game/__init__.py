"""The game: players, baseline, score and network, which together give each coalition a number.

`Game` is the contract: `(game, coalition) → number`. `MaskedModel` is a network on masked inputs. `Players`
own the input elements that are masked together.
"""

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.players import Players

__all__ = ["Game", "MaskedModel", "Players"]
