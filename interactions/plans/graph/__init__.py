"""A network as traced operations without side effects: traced, folded, and what of it is needed."""
