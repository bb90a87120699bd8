"""The page, its words, and tables on disk."""
