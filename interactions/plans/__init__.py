"""Exact ways to the outputs of a game for less than 2ⁿ forwards, and the choice among them.

`plan` is the contract. `graph` is the traced network. `dense`, `regions` and `tokens` are the ways. `choice`
takes the cheapest.
"""
