"""Kinds of pretraining: what each minimises, and what it reads of its samples."""
