"""What all tables of a game will take by each kind of plan, before any plan is made.

Tracing takes seconds, and planning tables some more. A `Forecast` says whether the tables of all games and
checkpoints take long enough for that. It is counted and not timed, and asks no cache: what a trace costs is
counted whether or not an earlier run has left one. So a run that goes on where another one stopped forecasts
what that one did, and takes its plan.
"""

from dataclasses import dataclass

from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.machine.prices import Prices
from harsanyi.interactions.plans.sharing import share_of_rows

# Seconds of a trace and of a trial of its plan: for any network, and for each call of a module.
TRACE, TRACE_OF_A_CALL = 1.4, 0.012
# What is left of a forward by packed weights, activations that overwrite others, and tokens left out.
TRACED = 0.92
# Seconds of finding which rows each row of the tables depends on.
INDICES = 0.7
# Rows take longer than the same multiply-adds of a dense forward, since they are gathered.
GATHERED = 1.15
# Launches on rows for each call of a module: windows are gathered, multiplied and summed place by place.
ROW_LAUNCHES = 20
# The key of the share of rows among the choices of a game, which remembers it.
SHARE = "share of rows"
# Forwards by which a plan is tried on each checkpoint.
TRIAL_FORWARDS = 8


@dataclass(frozen=True)
class Forecast:
    """The tables of a game in nominal seconds, by the work that its forwards show.

    Attributes:
        game: of a network.
        checkpoints: that share the trace of the network, each with as many games.
    """

    game: MaskedModel
    checkpoints: int = 1

    @property
    def plain(self) -> float:
        """Seconds by the network as it is."""
        return self._forwards * self._seconds(self.game.work.calls, self.game.work.numbers)

    @property
    def making(self) -> float:
        """Seconds until the traced network of every checkpoint is there and tried."""
        trials = (
            self.checkpoints * TRIAL_FORWARDS * self._seconds(self.game.work.calls, self.game.work.numbers)
        )
        return TRACE + TRACE_OF_A_CALL * self.game.work.calls + trials

    @property
    def dense(self) -> float:
        """Seconds by the traced network, its making apart: batch norms are folded, weights packed once."""
        work = self.game.work
        return TRACED * self._forwards * self._seconds(work.calls, work.numbers - work.normalised)

    @property
    def tables(self) -> float:
        """Seconds by tables, the making of the traced network apart; this takes n + 1 forwards to tell."""
        launches = self.checkpoints * self.game.games * ROW_LAUNCHES * self.game.work.calls
        launching = 0.0 if self.game.device.type == "cpu" else launches * self._prices.call
        choices = self.game.choices
        if SHARE not in choices:
            choices[SHARE] = share_of_rows(self.game)
        return INDICES + launching + min(1.0, GATHERED * choices[SHARE]) * self.dense

    @property
    def _forwards(self) -> float:
        return self.checkpoints * self.game.games * 2.0**self.game.n

    @property
    def _prices(self) -> Prices:
        return Prices.of(self.game.device)

    def _seconds(self, calls: float | int, numbers: float | int) -> float:
        """Seconds of a forward in a batch."""
        return self._prices.seconds(calls / self.game.batch_size(), self.game.work.multiply_adds, numbers)
