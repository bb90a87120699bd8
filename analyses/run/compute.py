"""Computing a study: value tables and interactions of every network, in one folder."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harsanyi.analyses.knowledge.interaction_tables import games_table, ranges_table
from harsanyi.analyses.report.tables import write_table
from harsanyi.analyses.run.blocks import Block, Evaluator, blocks_of, evaluated_here, failing, shared
from harsanyi.analyses.run.cluster import Cluster, cluster_of
from harsanyi.analyses.run.costs import LONG, announcement, are_long, seconds_each
from harsanyi.analyses.run.extraction import paused, study_interactions
from harsanyi.analyses.run.failures import evaluated_by_all, renew, to_be_tried_again
from harsanyi.analyses.run.notes import network_lines
from harsanyi.analyses.run.owner import require_own_folder
from harsanyi.analyses.run.run import (
    GAMES_TABLE,
    INTERACTIONS_TABLE,
    RANGES_TABLE,
    STORE_FILE,
    STUDY_FILE,
    Run,
)
from harsanyi.analyses.run.same_networks import (
    arrays_of,
    first_answers,
    require_same_networks,
    settings_known_to,
)
from harsanyi.analyses.study.facts import FACTS_FILE, Facts, PlanTaken, PrecisionLoss
from harsanyi.analyses.study.games import StudyGames, error_sentence
from harsanyi.analyses.study.kept import read_kept, write_kept
from harsanyi.analyses.study.labels import read_out_file
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.screening import SCREENING_TABLE, screening_table
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import MaskedModel, Store
from harsanyi.interactions.machine.memory import gibibytes, require_memory
from harsanyi.interactions.methods import EXTRACTION_TABLES
from harsanyi.interactions.plans.choice import choose, together
from harsanyi.interactions.precision import precision_error
from harsanyi.models.digest import digest
from harsanyi.progress import progress_bar, say
from harsanyi.writing import alone_in_its_folder, room_at

# A network's share of the disk, in tables: values, and interactions with the values they explain.
DISK_TABLES = 4


@alone_in_its_folder
def compute(study: Study, *, progress: bool = True, announce: bool = True, record: bool = True) -> Run:
    """Value tables and interactions of every network of a study, kept in its folder.

    Nothing in the folder is computed again: a killed run goes on where it stopped, and a finished run is
    opened without a forward of a masked input. The folder of another command is refused.

    Args:
        study: its settings; `study.out` is the folder.
        progress: whether to draw bars.
        announce: whether to say beside the bars how each network was read and how well it answers; and of
            long work how many forwards there are, by which plan, and about how long they take.
        record: whether a game on which a network fails is recorded and left out of the run; else it is the
            end of the study.

    Returns:
        the finished run, of the games that no network failed on.

    Raises:
        ValueError: a setting cannot be followed, or a network failed on every input.
    """
    if study.share is not None:
        raise ValueError("--share is for value tables alone: evaluate them, and merge the shares")
    games, store, facts = fill_tables(study, progress=progress, announce=announce, record=record)
    store = evaluated_by_all(store)
    run = Run(study, store, study_interactions(study, store, facts, progress=progress), facts)
    _write_tables(run, games)
    return run


@alone_in_its_folder
def fill_tables(
    study: Study, *, progress: bool = True, announce: bool = True, record: bool = True
) -> tuple[StudyGames, Store, Facts]:
    """The value tables of every network of a study, or of a share of its games, kept in its folder.

    Args:
        study, progress, announce, record: as for `compute`.

    Returns:
        the games, their store, and what was measured of networks and inputs.
    """
    require_own_folder(study.out, type(study).__name__.lower())
    with cluster_of(study) as cluster:
        there = Store(study.out / STORE_FILE) if (study.out / STORE_FILE).exists() else None
        games = prepare(study, there)
        _require_room(games)
        if there is not None:
            to_be_tried_again(there, failed=study.retry_failed)
        unfinished = _unfinished(study.out / STORE_FILE, list(games.networks))
        masked = {name: games.game(name) for name in unfinished}
        answers = first_answers(games)
        description: dict[str, Any] = {
            "settings": settings_known_to(study.out / STORE_FILE, games),
            "networks": list(games.networks),
            "games": len(games.inputs),
            "n": games.n,
            "outputs": _output_counts(games) if study.keep_outputs else None,
            "arrays": games.layout.arrays | arrays_of(answers),
            "about": games.about,
        }
        if study.retry_failed:
            renew(study.out / STORE_FILE, description)
        store = Store.open_or_create(study.out / STORE_FILE, **description)
        require_same_networks(store, answers)
        for name, read_out in games.read_outs.items():
            if not read_out.kept:
                read_out.save(read_out_file(study, name))
        replace(study, retry_failed=False).write(study.out / STUDY_FILE)
        facts = _with_notes(_measure_once(games), masked)
        if progress and announce:
            say(*network_lines(facts))
        if masked:
            recorded = record and store.records_failures
            facts = _evaluate(games, masked, store, facts, progress, announce, cluster, recorded)
    return games, store, facts


def _evaluate(
    games: StudyGames,
    masked: dict[str, MaskedModel],
    store: Store,
    facts: Facts,
    progress: bool,
    announce: bool,
    cluster: Cluster | None,
    record: bool,
) -> Facts:
    """Fill the value tables of unfinished networks; the facts with what was measured on the way.

    What is measured is written at once: a network that is finished is not measured by the run that goes on.
    """
    study, names = games.study, list(masked)
    # The error of a lower precision is printed before hours are spent in it.
    for name, game in masked.items():
        if game.precision != "float32":
            loss = _precision_loss(name, game, progress)
            facts = replace(facts, precision_losses=facts.precision_losses | {name: loss})
            _write_facts(games, facts)
    forwards, left = _forwards(games, masked, store)
    first = next(iter(masked.values()))
    with failing(games, names[0]):
        measured = progress and announce and cluster is None and are_long(first, left)
        seconds = seconds_each(first, 1) if measured else 0.0
    planning: dict[str, Any] = {
        "plan": study.plan,
        "memory": study.plan_memory,
        "checkpoints": evaluated_networks(games),
    }
    with ExitStack() as stack:
        bar = stack.enter_context(
            progress_bar(forwards, "value tables", "forward", shown=progress, there=forwards - left)
        )
        with paused(bar):
            groups = stack.enter_context(together(list(masked.values()), **planning))
            if measured:
                with failing(games, names[0]):
                    choice = choose(first, **planning)
                if choice.share * seconds * left >= LONG:
                    say(announcement(masked, choice, left, seconds))
        sharing = [[names[number] for number in group] for group in groups]

        def blocks() -> Iterator[Block]:
            nonlocal facts
            for name in names:
                group = next((group for group in sharing if name in group), [name])
                if name == group[0]:
                    members = {member: masked[member] for member in group}
                    with paused(bar):
                        plans = _plans_taken(games, members, planning)
                    facts = replace(facts, plans=facts.plans | plans)
                    _write_facts(games, facts)
                    yield from _blocks(games, members, store, planning)

        evaluator = Evaluator(games, masked, store.keeps_outputs, record, planning)
        results = (
            evaluated_here(evaluator, blocks(), bar)
            if cluster is None
            else cluster.evaluated(evaluator, blocks(), bar)
        )
        with store.written():
            for name, rows, tables in results:
                store.write(name, rows, tables)
    evaluated_by_all(store)  # raises where no game is left: nothing is copied then
    for name in names:
        for twin in _twins(games, name):
            store.copy(twin, name)
    return facts


def _plans_taken(
    games: StudyGames, masked: dict[str, MaskedModel], planning: dict[str, Any]
) -> dict[str, PlanTaken]:
    """The plans of networks, of those that have another than the dense one."""
    taken = {}
    for name, game in masked.items():
        if not _twins(games, name):
            with failing(games, name):
                taken[name] = choose(game, **planning)
    return {name: PlanTaken(plan.name, plan.why) for name, plan in taken.items() if plan.name != "dense"}


def _blocks(
    games: StudyGames, masked: dict[str, MaskedModel], store: Store, planning: dict[str, Any]
) -> Iterator[Block]:
    """The blocks of a network, or of several that begin alike, in the order of one process.

    Those with a plan get a block of games each before the next block, so that they share what is equal.
    Networks without a plan come after them. Twins of others have none: they are copied.

    Args:
        games: of the study.
        masked: the games of each network, in order.
        store: of the tables.
        planning: options of the plan.
    """
    names = [name for name in masked if not _twins(games, name)]
    sharing = [name for name in names if choose(masked[name], **planning).plan is not None]
    apart = [name for name in names if name not in sharing]
    for group in ([sharing] if sharing else []) + [[name] for name in apart]:
        evaluated_by_all(store)  # raises where no game is left, before the next network's work
        yield from blocks_of(group, masked[group[0]], store, games.study.batch_size, games.study.place)


def _write_tables(run: Run, games: StudyGames) -> None:
    """The tables of a run that need no other: of games, and of ranges and screening where there are some."""
    study, store = run.study, run.store
    titles = [run.title_of(game) for game in range(store.games)]
    write_table(games_table(run.interactions, titles, study.threshold), study.out / GAMES_TABLE)
    strongest = [network.table(threshold=study.threshold) for network in run.interactions.values()]
    write_table(pd.concat(strongest, ignore_index=True), study.out / INTERACTIONS_TABLE)
    if study.ranges:
        write_table(ranges_table(run.interactions, titles), study.out / RANGES_TABLE)
    if games.all_players is not None:
        with error_sentence(f"{study.model} failed on masked inputs"):
            write_table(screening_table(games, store), study.out / SCREENING_TABLE)


def _require_room(games: StudyGames) -> None:
    """Refuse tables that memory or disk cannot hold, before the first forward."""
    study, count = games.study, len(games.inputs)
    work = f"tables of {count} games of {games.n} players, 2**{games.n} masked versions each,"
    table = 8 * count << games.n
    if study.share is None:  # a share is not split into interactions
        require_memory(EXTRACTION_TABLES * table, torch.device("cpu"), f"work on {work}")
    if (study.out / STORE_FILE).exists():
        return
    needed = DISK_TABLES * table * len(study.checkpoints)
    if study.keep_outputs:
        work = f"{work} with the outputs of all classes,"
        needed += sum(_output_counts(games).values()) * table // 2
    _, free = room_at(study.out)
    if needed > free:
        raise MemoryError(
            f"{work} need {gibibytes(needed)} of disk, and {gibibytes(free)} are free: choose fewer players "
            "or fewer games"
        )


def evaluated_networks(games: StudyGames) -> int:
    """How many networks of a study take forwards, done or not: so a run that goes on takes the same plans."""
    return sum(not _twins(games, name) for name in games.networks)


def _twins(games: StudyGames, name: str) -> list[str]:
    """The networks before this one that are the same: of equal weights, and scored at equal outputs."""
    before = list(games.networks)[: list(games.networks).index(name)]
    weights, labels = games.settings["weights"], games.labels
    return [twin for twin in before if weights[twin] == weights[name] and labels[twin] == labels[name]]


def _forwards(games: StudyGames, masked: Mapping[str, MaskedModel], store: Store) -> tuple[int, int]:
    """How many forwards the games of these networks take, and how many of them are left.

    Games that are done take none, nor do networks that are copies of another.
    """
    size, share = games.study.batch_size, games.study.place
    whole = left = 0
    for name, game in masked.items():
        whole += sum(map(len, shared(store.blocks(game, size), share)))
        if not _twins(games, name):
            left += sum(len(block.games) for block in blocks_of([name], game, store, size, share))
    return whole << store.n, left << store.n


def _output_counts(games: StudyGames) -> dict[str, int]:
    """How many outputs each network has."""
    return {name: len(network.classes) for name, network in games.networks.items()}


def _unfinished(path: Path, networks: list[str]) -> list[str]:
    """The networks with games to be done. A store without a finished game holds nothing, and is removed."""
    if not path.exists():
        return networks
    store = Store(path)
    settled = {name: store.settled(name) for name in store.networks}
    if not any(store.done(name).any() for name in store.networks):
        path.unlink()
    return [name for name in networks if name not in settled or not settled[name].all()]


def _measure_once(games: StudyGames) -> Facts:
    """The facts of inputs and networks: read from the folder, else measured and written there."""
    facts = read_kept(games.study.out / FACTS_FILE, Facts, _fingerprint(games))
    if facts is None:
        classes = games.classes if games.study.keep_outputs else None
        facts = replace(games.facts, classes=classes, performance=games.performance())
        _write_facts(games, facts)
    return facts


def _with_notes(facts: Facts, masked: dict[str, MaskedModel]) -> Facts:
    """The facts, with what the trials of games showed of how outputs are read."""
    networks = dict(facts.networks)
    for name, game in masked.items():
        new = tuple(note for note in game.notes if note not in networks[name].notes)
        networks[name] = replace(networks[name], notes=(*networks[name].notes, *new))
    return replace(facts, networks=networks)


def _write_facts(games: StudyGames, facts: Facts) -> None:
    write_kept(games.study.out / FACTS_FILE, facts, _fingerprint(games), indent=1)


def _fingerprint(games: StudyGames) -> str:
    """Of everything that the facts depend on."""
    return digest(json.dumps(games.settings), list(games.all_inputs.names), json.dumps(asdict(games.facts)))


def _precision_loss(name: str, game: MaskedModel, progress: bool) -> PrecisionLoss:
    """What a lower precision does to a network's interactions, measured and said."""
    error = precision_error(game)
    if progress:
        say(f"{name} in {error.describe()}")
    return PrecisionLoss(error.precision, error.games, tuple(error.by_order.tolist()), error.largest_effect)
