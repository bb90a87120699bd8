"""The network of a game as a list of torch's operations, for the plans that do not run it as it is.

`trace` makes a `Traced` network, `folding` and `needed` rewrite it, and `of_game` keeps it with its game.
`step` reads the arguments of one operation.
"""
