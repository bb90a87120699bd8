"""The algebra and its result: dividends of a value table, indices, and `Interactions`."""
