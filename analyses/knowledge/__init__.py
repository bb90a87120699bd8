"""Pure measures on interactions: change, similarity, rows of tables. No figure, no folder."""
