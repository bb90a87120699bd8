"""How the inputs of one network are prepared, and where that is from."""
