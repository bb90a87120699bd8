"""Small networks where the answer is known: Δ, redundancy, objectives, features."""
