"""What fine-tuning discarded, on inputs as they are, corrupted and attacked."""
