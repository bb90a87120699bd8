"""What a network answers: its logits, the layer that gives them, the inputs that it takes."""
