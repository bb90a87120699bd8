"""The algebra and its result: dividends of a value table, indices, strength, and `Interactions`."""
