"""Names of classes: where they are kept, which output of a network each is, and whether that can be right."""
