"""What a run says of its networks."""

from harsanyi.analyses.run.notes import network_lines, reading_lines
from harsanyi.analyses.study.facts import Facts, NetworkPerformance, NetworkReading, ReadOutAccuracy
from harsanyi.models.classes.matching import ASSUMED


def facts() -> Facts:
    """Two networks measured on two data sets, one with a read-out."""
    rows = (("held out", 0.25), ("train", 0.75))
    return Facts(
        networks={"before": NetworkReading(2, "by its read-out"), "after": NetworkReading(2, "by name")},
        read_outs={"before": ReadOutAccuracy(10, 0.5, 1.0)},
        performance=tuple(
            NetworkPerformance(name, split, split, 8, accuracy, 1.0)
            for split, accuracy in rows
            for name in ("before", "after")
        ),
    )


def test_the_accuracy_that_is_printed_is_that_of_held_out_inputs():
    before, after = network_lines(facts())
    assert before == (
        "before: READ-OUT in place of its head, 2 outputs, right for 50.0% of the inputs kept out of its "
        "fit; right for 25.0% of 8 inputs"
    )
    assert after == "after: 2 outputs, classes by name; right for 25.0% of 8 inputs"


def test_notes_are_sentences_whoever_wrote_them():
    notes = ("the weights are those under net", "Pictures are squashed.")
    reading = NetworkReading(2, "by name", notes)
    assert network_lines(Facts(networks={"after": reading})) == [
        "after: 2 outputs, classes by name",
        "    The weights are those under net.",
        "    Pictures are squashed.",
    ]


def test_what_is_said_of_all_networks_is_said_once():
    readings = {name: NetworkReading(2, "by name", ("Squashed.", name)) for name in ("before", "after")}
    assert network_lines(Facts(networks=readings)) == [
        "before: 2 outputs, classes by name",
        "    Before.",
        "after: 2 outputs, classes by name",
        "    After.",
        "all networks: Squashed.",
    ]


def test_checkpoints_that_were_read_alike_are_one_line():
    reading = NetworkReading(2, f"{ASSUMED} by sorting their names", ("Squashed.",))
    names = ("pretrained", "run@1", "run@20", "other@1")
    measured = tuple(
        NetworkPerformance(name, "held out", "test", 8, accuracy, 1.0)
        for name, accuracy in zip(names, (0.25, 0.5, 0.75, 1.0), strict=True)
    )
    assert network_lines(Facts(networks=dict.fromkeys(names, reading), performance=measured)) == [
        f"pretrained: 2 outputs, classes {reading.match}; right for 25.0% of 8 inputs",
        "run (2 checkpoints): 2 outputs, classes by number, ASSUMED as for pretrained; right for 50.0% "
        "(step 1), 75.0% (step 20) of 8 inputs",
        "other@1: 2 outputs, classes by number, ASSUMED as for pretrained; right for 100.0% of 8 inputs",
        "all networks: Squashed.",
    ]


def test_one_network_has_its_own_head():
    assert reading_lines(facts()) == [
        "A linear read-out answers in place of the head of before (right for 50% held out); "
        "after with its own head."
    ]


def test_how_inputs_were_prepared_is_said_once_or_by_network():
    same = {name: NetworkReading(2, "by name", (), "Squashed.") for name in ("before", "after")}
    assert reading_lines(Facts(networks=same)) == ["Squashed."]
    differing = same | {"after": NetworkReading(2, "by name", (), "Cropped.")}
    assert reading_lines(Facts(networks=differing)) == ["before: Squashed.", "after: Cropped."]
