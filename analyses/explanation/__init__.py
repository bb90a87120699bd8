"""The first look: the interactions of a network, with choices made for whoever has not made them yet."""
