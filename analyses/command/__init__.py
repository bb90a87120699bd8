"""The command line and its small verbs."""
