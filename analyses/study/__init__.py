"""What is asked, made into games: settings without torch, then inputs, labels and players."""
