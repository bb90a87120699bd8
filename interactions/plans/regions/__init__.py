"""Plan "tables": every place of an activation is computed once for each way its players can be.

`regions` says which players a place depends on, `indices` numbers the ways, `cuts` chooses where rows begin
and end, `tables` runs the plan. The other files are what one operation does to rows.
"""
