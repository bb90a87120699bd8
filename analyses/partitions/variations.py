"""The games of a run with masked players replaced by what other inputs have, and with patches that moved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from harsanyi.analyses.run.extraction import study_interactions
from harsanyi.analyses.run.run import STORE_FILE, Run
from harsanyi.analyses.run.same_networks import first_answers, require_same_networks
from harsanyi.analyses.study.facts import Facts
from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.inputs import load_inputs
from harsanyi.analyses.study.prepare import prepare
from harsanyi.interactions import Game, Interactions, MaskedModel, ReplacedModel, Store, shuffled
from harsanyi.interactions.game.neighbours import Adjacency
from harsanyi.interactions.game.replacement import REPLACEMENTS, replacement_named
from harsanyi.progress import progress_bar

SHUFFLED, SHUFFLED_CONTENT = "shuffled", "shuffled_content"


def require_variations(run: Run, replacements: Sequence[str], shuffle: bool) -> None:
    """Refuse what is no replacement, and runs whose players other inputs cannot replace.

    Args:
        run: finished.
        replacements: names.
        shuffle: whether patches are to change places.

    Raises:
        ValueError: for the first of them.
    """
    for name in replacements:
        if name not in REPLACEMENTS:
            raise ValueError(
                f"--replacements {name!r} is no replacement: expected some of {', '.join(REPLACEMENTS)}"
            )
    if len({*replacements}) < len(replacements):
        raise ValueError(f"expected replacements, each once; got {' '.join(replacements)}")
    if not (replacements or shuffle):
        return
    given = "--replacements" if replacements else "--shuffle"
    if "sentences" in run.store.settings:
        raise ValueError(f"{given} is for patches of pictures, and the inputs of {run.folder} are sentences")
    if run.study.layer is not None:
        raise ValueError(
            f"{given} is for patches of the input, and {run.folder} masks a layer: compare without --layer"
        )
    if changed := run.study.given("corruption", "attack"):
        raise ValueError(
            f"{given} takes patches of other inputs as they are, and those of {run.folder} are changed, by "
            f"--{changed[0]}: compare without it"
        )
    if run.study.choose != "random":
        raise ValueError(f"{given} is for --choose random; {run.folder} has --choose {run.study.choose}")
    if shuffle and not run.study.players.startswith("grid:"):
        raise ValueError(
            f"--shuffle is for players that are cells of a grid, and those of {run.folder} are "
            f"{run.study.players}"
        )


@dataclass(frozen=True)
class Variations:
    """The games of a run, evaluated in other ways, each in a folder of its own.

    Attributes:
        run: finished.
        out: the folder above theirs.
        draws: of each replacement.
        others: largest number of other inputs that replacements are from.
        progress: whether to draw bars.
    """

    run: Run
    out: Path
    draws: int
    others: int
    progress: bool

    @cached_property
    def games(self) -> StudyGames:
        """The networks and inputs of the run; a ValueError where the networks are others by now."""
        games = prepare(replace(self.run.study, out=self.run.folder))
        require_same_networks(self.run.store, first_answers(games))
        return games

    @cached_property
    def pool(self) -> dict[str, Tensor]:
        """Other inputs as each network takes them, in random order; of --train-data, where it is named."""
        study, games = self.run.study, self.games
        inputs = games.all_inputs if study.train_data is None else load_inputs(study, study.train_data)
        if study.train_data is None:
            drawn = {*games.inputs.names}
            inputs = inputs.select([i for i, name in enumerate(inputs.names) if name not in drawn])
        if not len(inputs):
            raise ValueError(
                f"all inputs of {study.data} are explained, and none is left to take patches from: compare "
                "fewer inputs, or name --train-data"
            )
        chosen = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(study.seed))
        some = inputs.select(chosen[: self.others].tolist()).check(skip_unreadable=True)
        pool = {}
        for name, network in games.networks.items():
            given = network.preprocess(list(some.items))
            assert isinstance(given, Tensor)  # of pictures
            pool[name] = given
        return pool

    def replaced(self, name: str) -> dict[str, Interactions]:
        """The interactions of all networks with a replacement in place of the baseline.

        Args:
            name: of the replacement.
        """

        def game(network: str) -> Game:
            masked = self._of_run(self.games.game(network))
            pool = self.pool[network].to(masked.device)
            seed = self.run.study.seed
            return ReplacedModel(masked, replacement_named(name, masked, pool, draws=self.draws, seed=seed))

        settings = {"replacement": name, "draws": self.draws, "others": len(next(iter(self.pool.values())))}
        return self._evaluated(name, settings, game)

    def shuffled(self) -> dict[str, Interactions]:
        """The interactions of all networks on pictures whose patches have changed places."""
        layout = self.games.layout
        seed = self.run.study.seed
        tensors = {
            name: shuffled(tensor, layout.players[name], seed)[0] for name, tensor in layout.tensors.items()
        }
        moved = replace(self.games, layout=replace(layout, tensors=tensors))
        return self._evaluated(SHUFFLED, {"shuffled": True}, lambda name: self._of_run(moved.game(name)))

    def content_adjacencies(self, adjacency: Adjacency) -> list[Adjacency]:
        """Which players of shuffled pictures have patches that were neighbours before.

        Args:
            adjacency: of the places.

        Returns:
            one for each game of the run.
        """
        layout = self.games.layout
        name, tensor = next(iter(layout.tensors.items()))
        _, whose = shuffled(tensor, layout.players[name], self.run.study.seed)
        return [adjacency[content][:, content] for content in whose[self.run.store.numbers]]

    def _of_run(self, game: MaskedModel) -> MaskedModel:
        """The games that the run has, without those that a network failed on."""
        numbers = self.run.store.numbers
        return game if len(numbers) == game.games else game.select(numbers)

    def _evaluated(
        self, name: str, settings: Mapping[str, object], game: Callable[[str], Game]
    ) -> dict[str, Interactions]:
        """The interactions of all networks in one variation; value tables that are there are kept."""
        run, folder = self.run, self.out / name
        store = Store.open_or_create(
            folder / STORE_FILE,
            settings={**run.store.settings, **settings},
            networks=list(run.interactions),
            games=run.store.games,
            n=run.store.n,
            about=self.games.about.select(run.store.numbers, len(self.games.inputs)),
        )
        missing = [network for network in run.interactions if not store.done(network).all()]
        left = sum(int((~store.done(network)).sum()) for network in missing) << store.n
        with progress_bar(left, f"value tables, {name}", "masked input", shown=self.progress) as bar:
            for network in missing:
                store.fill(
                    network,
                    game(network),
                    plan=run.study.plan if name == SHUFFLED else "auto",
                    memory=run.study.plan_memory,
                    batch_size=run.study.batch_size,
                    progress=bar,
                )
        study = replace(run.study, ranges=0)
        return study_interactions(study, store, Facts(), progress=self.progress)
