"""Plan "tables": every place of an activation is computed once for each way its players can be.

`regions` says which players a place depends on, and numbers its rows. `indices` looks up rows. `steps` is the
contract of the rules in `convolutions`, `pools`, `moves` and `pointwise`, which `rules` puts in one table.
`cuts` chooses where rows begin and end, `chains` runs the steps between, and `tables` is the plan.
"""
