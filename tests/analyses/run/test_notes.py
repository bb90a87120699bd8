"""What a run says of its networks."""

from harsanyi.analyses.run.notes import network_lines, reading_lines
from harsanyi.analyses.study.facts import Facts, NetworkPerformance, NetworkReading, ReadOutAccuracy


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
    assert before.endswith("right for 50.0% held out; right for 25.0% of 8 inputs")
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
