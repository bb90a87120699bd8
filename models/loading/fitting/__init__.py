"""Which tensors of a checkpoint are a model's: names, prefixes, conversions, and sentences about them."""
