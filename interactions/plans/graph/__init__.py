"""The network of a game as a list of torch's operations, for the plans that do not run it as it is.

`trace` makes a `Program` of a network, which with the weights of a checkpoint is a `Traced` network.
`folding` and `needed` rewrite it, and `of_game` keeps it with its game. `step` reads the arguments of one
operation, `values` says what is known of its result. `architecture` tells which checkpoints have one program,
`kept` and `written` keep it for them. `beginnings` shares the first steps of networks with equal weights.
"""
