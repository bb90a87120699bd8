"""The work of a plan, step by step, in multiply-adds; moves are counted as the plans count them."""

from torch import fx

from harsanyi.interactions.plans.dense import DensePlan
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import Plan
from harsanyi.interactions.plans.regions.cuts import dense_cost
from harsanyi.interactions.plans.regions.tables import RegionTables


def traced_of(plan: Plan) -> Traced:
    """The network of a plan."""
    assert isinstance(plan, DensePlan | RegionTables)
    return plan.traced


def work(plan: Plan) -> dict[fx.Node, float]:
    """The work of each step, for one game in all coalitions."""
    traced, count = traced_of(plan), 2.0**plan.game.n
    dense = {step: dense_cost(step, traced) for step in traced.steps}
    if not isinstance(plan, RegionTables):
        return {step: count * cost for step, cost in dense.items()}
    regions = plan.plan(0)
    fixed = count / 2**regions.n  # how often the tables are made, with the last players fixed
    on_rows = dict(zip(traced.steps[regions.start : regions.stop], regions.steps, strict=True))
    first = set(traced.steps[: regions.start])
    return {
        step: fixed * on_rows[step].cost
        if step in on_rows
        else (fixed * regions.covering_count if step in first else count) * cost
        for step, cost in dense.items()
    }


def first_own_step(plan: Plan, common: int) -> int:
    """The step at which a network starts that has its first steps in common with another.

    Between the two cuts of tables, these are whole only where a chain begins.
    """
    if not isinstance(plan, RegionTables):
        return common
    regions = plan.plan(0)
    return common if common >= regions.stop else max((e for e in regions.edges if e <= common), default=0)
