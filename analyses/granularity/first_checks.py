"""What can be said of a granularity study before hours of training: its labels, networks and players."""

from harsanyi import models
from harsanyi.analyses.granularity.labels import columns_of
from harsanyi.analyses.granularity.runs import TransferData
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.training import start_of
from harsanyi.analyses.study.asked import SCORE_OF
from harsanyi.analyses.study.first_checks import require_players
from harsanyi.analyses.study.inputs import draw_inputs
from harsanyi.analyses.study.layout import lay
from harsanyi.analyses.study.study import Compute
from harsanyi.data.label_sets import label_by_label


def require_labels(study: Granularity, data: TransferData) -> None:
    """Refuse pretraining columns that the test samples lack, on which pretraining is to be tested.

    Args:
        study: its kinds and columns.
        data: its samples.

    Raises:
        ValueError: for a column that the test samples do not have, or that is not there at all.
    """
    if study.inputs:
        require_players(study.players)
    if study.pretrain_data is None and "columns" in study.kinds:
        for name in columns_of(study, data.train):
            data.train.level(name)
            if name not in data.test.labels:
                raise ValueError(
                    f"--columns has {name}, on which pretraining is to be tested, and {study.test_data} has "
                    f"no such column: name others of {', '.join(data.test.labels)}, or give --pretrain-data"
                )


def require_comparable(study: Granularity, data: TransferData) -> None:
    """Load what is needed only later, and lay the players on the test samples.

    Args:
        study: its embedding, and its players where interactions are asked for.
        data: its samples.

    Raises:
        ValueError, FileNotFoundError, ImportError: for a network, or players, that cannot serve.
    """
    if study.embedding is not None:
        models.load(study.embedding)
    if not study.inputs:
        return
    compared = Compute(
        model=study.model,
        data=study.test_data,
        out=study.out,
        inputs=study.inputs,
        level=study.target,
        players=study.players,
        skip_short=study.skip_short,
        score=SCORE_OF[study.task],
    )
    inputs = label_by_label(data.test, study.target) if study.task == "multi-label" else data.test
    drawn = draw_inputs(compared, inputs).inputs
    lay(compared, {"network": start_of(study, study.seeds[0])}, drawn)
