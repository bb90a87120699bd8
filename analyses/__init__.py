"""What is asked of interactions: knowledge kept, dropped and learned; figures; reports; the command line."""
