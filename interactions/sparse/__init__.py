"""The sparsest split of a value table into AND and OR: one linear program, its solvers, its certificates.

`Program` says what is minimised: the strength of one table (`fit`), of the tables of several networks
together (`joint`), or one effect among the sparsest splits (`ranges`). `halpern` solves all three.
`interior_point` and `gradient_descent` are the references that it is measured against.
"""

from harsanyi.interactions.sparse.fit import sparse_and_or
from harsanyi.interactions.sparse.joint import sparse_and_or_joint
from harsanyi.interactions.sparse.ranges import effect_ranges

__all__ = ["effect_ranges", "sparse_and_or", "sparse_and_or_joint"]
