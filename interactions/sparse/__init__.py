"""The sparsest split of a value table into AND and OR: one linear program, its solvers, its certificates.

`Program` says what is minimised: one table (`fit`), tables of several networks together (`joint`), or the
range of one effect among the sparsest splits (`ranges`). `halpern` solves all three; `interior_point` and
`gradient_descent` are the references it is measured against.
"""
