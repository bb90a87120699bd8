"""Games whose 2ⁿ forwards are out of reach: screening, low orders, sparse transforms.

`influence` and `screening` keep the few players that matter. `low_orders` gives all interactions of few
players. `moebius` and `fourier` estimate few interactions from samples. Every approximate result says that it
is, and how far off on coalitions it was not made from.
"""

from harsanyi.interactions.many_players.fourier import spex
from harsanyi.interactions.many_players.influence import influences
from harsanyi.interactions.many_players.low_orders import low_order
from harsanyi.interactions.many_players.moebius import sparse_moebius
from harsanyi.interactions.many_players.screening import screened

__all__ = ["influences", "low_order", "screened", "sparse_moebius", "spex"]
