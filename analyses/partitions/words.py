"""Names of the tables of partitions, and what variations are called."""

from harsanyi.analyses.partitions.merges import APART, NEIGHBOURS
from harsanyi.analyses.partitions.variations import SHUFFLED, SHUFFLED_CONTENT
from harsanyi.analyses.reliability.report import CLEAN

# Names of the tables, and so of their files.
MERGES_TABLE, NEIGHBOURS_TABLE, CONSTITUENTS_TABLE = "merges", "neighbours", "constituents"
# In figures and sentences.
WORDS = {
    CLEAN: "as it is",
    NEIGHBOURS: "two neighbours merged",
    APART: "two others merged",
    "marginal": "parts of another input",
    "independent": "each patch of another input",
    "nearest": "patches of the nearest inputs",
    "normal": "conditional expectation",
    SHUFFLED: "patches shuffled",
    SHUFFLED_CONTENT: "patches shuffled, neighbours before",
}
