"""Studies of sentences whose words are chosen by influence; sentences differ in their number of words."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from harsanyi.analyses import Compare, Run
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.comparison.on_sentence import draw_interactions_on_sentence
from harsanyi.analyses.study.facts import LeftOut
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.screening import HELD_OUT_COALITIONS, INFLUENCE_COALITIONS
from harsanyi.interactions import evaluate
from harsanyi.interactions.many_players.influence import exact_game_density, influences
from harsanyi.interactions.many_players.screening import OthersPresent
from tests import text_networks

# The same scores in batches of other sizes and padding: float32 forwards of outputs of size 1.
FLOAT32 = 1e-4
SENTENCES = {
    "good": "the good cat sat , the good dog ran",  # 6 words that are no stop words
    "bad": "bad dog ran , the bad cat sat , bad cat ran , good dog sat bad good cat dog ran sat bad",  # 19
    "mixed": "good cat bad dog sat",
}
COUNTS = {"good": 6, "bad": 19, "mixed": 5}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Compare:
    folder = tmp_path_factory.mktemp("sentences")
    words = [*text_networks.MASKED_WORDS, ","]
    tokenizer = text_networks.tokenizer(folder / "vocabulary", words)
    for seed, name in enumerate(("before", "after")):
        text_networks.save_bert(folder / name, tokenizer, seed=seed, words=words, spread=0.5)
    with (folder / "questions.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(sentence, verdict) for verdict, sentence in SENTENCES.items()]
        csv.writer(file).writerows([("question", "verdict"), *rows])
    return Compare(
        model=f"transformers:{folder / 'before'}",
        before=str(folder / "before"),
        after=str(folder / "after"),
        data=folder / "questions.csv",
        text_column="question",
        label_columns=("verdict",),
        inputs=3,
        players="words:4",
        choose="influence",
        stop_words=("the",),
        out=folder / "run",
    )


@pytest.fixture(scope="module")
def summary(study) -> list[str]:
    return run_comparison(study, progress=False)


@pytest.fixture
def run(study, summary) -> Run:
    return Run.open(study.out)


def alone(study: Compare) -> Iterator[Compare]:
    """A study of each sentence by itself, all its words players."""
    rows = pd.read_csv(study.data)
    for verdict, count in COUNTS.items():
        path = study.data.with_name(f"{verdict}.csv")
        rows[rows.verdict == verdict].to_csv(path, index=False)
        own = {"data": path, "inputs": 1, "label": "predicted", "out": study.out.with_name(verdict)}
        yield replace(study, players=f"words:{count}", choose="random", **own)


def words_of(run: Run, game: int) -> list[str]:
    """The chosen words of a game, as its drawing has them."""
    owned = {player: word for word, player in run.store.settings["sentences"][game] if player >= 0}
    return [owned[player] for player in range(len(owned))]


def test_each_sentence_has_the_words_that_it_would_have_alone(study):
    predicted = prepare(replace(study, label="predicted"))
    chosen = dict(zip(predicted.inputs.items, predicted.settings["kept"], strict=True))
    for one in alone(study):
        games = prepare(one)
        total = torch.zeros(games.n, dtype=torch.float64)
        for name in ("before", "after"):
            found = influences(
                games.game(name), INFLUENCE_COALITIONS, density=exact_game_density(games.n, 4), seed=0
            )
            total += found.influence[0] / found.influence[0].sum()
        assert chosen[games.inputs.items[0]] == sorted(total.argsort(descending=True)[:4].tolist())


@pytest.mark.parametrize("baseline", ["pad_token", "unattended", "embedding_zeros"])
def test_tables_are_those_of_all_words_with_the_others_present(baseline, study, tmp_path):
    games = prepare(replace(study, baseline=baseline, out=tmp_path / "run"))
    assert games.all_players is not None
    assert (games.n, games.all_players.n) == (4, 19)
    literal = OthersPresent(games.all_players.game("after"), torch.tensor(games.settings["kept"]))
    table = evaluate(games.game("after"), progress=False)
    assert (evaluate(literal, progress=False) - table).abs().max() < FLOAT32
    assert table.std(1).min() > 100 * FLOAT32


def test_what_is_said(study, summary, run):
    said = "APPROXIMATE: 4 of 5 to 19 words chosen by influence in each input, the others left as they are"
    assert summary[-1].startswith(said)
    report = (study.out / "report.html").read_text(encoding="utf-8")
    assert said in report
    assert "APPROXIMATE for all words together" in report
    assert "random maskings of all words" in report
    assert "cells" not in report.partition("<script>")[0]


def test_the_table_counts_the_words_of_each_sentence(study, summary, run):
    table = pd.read_csv(study.out / "screening.csv")
    labels = run.store.settings["labels"]
    assert table.all_players.tolist() == [COUNTS[label] for label in labels] * 2
    assert table.players.tolist() == [" ".join(map(str, row)) for row in run.store.settings["kept"]] * 2
    assert set(table.coalitions) == {HELD_OUT_COALITIONS}
    assert table.held_out_error.between(0, 2).all()
    assert (table.influence < 1).all()


def test_the_drawing_has_the_chosen_words(run):
    for game, (label, row) in enumerate(
        zip(run.store.settings["labels"], run.store.settings["kept"], strict=True)
    ):
        words = [word for word in SENTENCES[label].split() if word not in ("the", ",")]
        assert words_of(run, game) == [words[i] for i in row]
        assert " ".join(word for word, _ in run.store.settings["sentences"][game]) == SENTENCES[label]
        pieces, players = zip(*run.store.settings["sentences"][game], strict=True)
        top = run.interactions["after"].top(1)[game]
        figure = draw_interactions_on_sentence(pieces, players, top)
        dark = [text.get_text() for text in figure.axes[0].texts[1:] if text.get_color() == "black"]
        assert dark == words_of(run, game)


def test_a_second_run_is_the_same_bytes_without_a_forward(study, summary, forwards):
    names = ("report.html", "screening.json", "screening.csv", "values.h5", "change.csv")
    before = [(study.out / name).read_bytes() for name in names]
    run_comparison(study, progress=False)
    assert forwards == []
    assert [(study.out / name).read_bytes() for name in names] == before


def test_forwards_are_those_of_the_words_there_are(study, tmp_path, forwards):
    prepare(replace(study, out=tmp_path / "run"))
    words = sum(COUNTS.values())
    assert sum(forwards) == 2 * (INFLUENCE_COALITIONS * (words + len(COUNTS)) + 1)  # one tries the games


def test_tokens_are_chosen_too(study, tmp_path):
    games = prepare(replace(study, players="tokens:4", out=tmp_path / "run"))
    counts = [len(SENTENCES[label].split()) for label in games.settings["labels"]]
    assert games.all_players is not None
    assert games.all_players.layout.players["after"].counts.tolist() == counts
    assert games.n == 4


def test_short_sentences_are_an_error_or_left_out(study, tmp_path):
    more = replace(study, players="words:6", out=tmp_path / "run")
    with pytest.raises(ValueError, match="has 5 that can be players, expected 6.*--skip-short"):
        prepare(more)
    games = prepare(replace(more, skip_short=True, inputs=2))
    assert games.left_out == LeftOut(short=1, sentences=3)
    assert games.all_players is not None
    assert sorted(games.all_players.layout.players["after"].counts.tolist()) == [6, 19]


def test_the_command_says_words(study, tmp_path, capsys):
    folder: Path = study.data.parent
    options = [f"--model={study.model}", f"--checkpoint={folder / 'after'}", f"--data={study.data}"]
    columns = ["--text-column=question", "--label-columns=verdict", "--inputs=3", "--stop-words", "the"]
    chosen = ["--players=words:3", "--choose=influence", f"--out={tmp_path / 'run'}"]
    main(["compute", *options, *columns, *chosen])
    assert "\nAPPROXIMATE: 3 of 5 to 19 words chosen by influence" in capsys.readouterr().out
