"""What a coalition is asked of: players, baseline, score, network.

`Game` is the contract: `(game, coalition) → number`. `MaskedModel` is a network asked about masked inputs.
`Players` owns the input elements that are masked together.
"""
