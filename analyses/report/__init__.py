"""The report page, numbers in words, and tables on disk."""
