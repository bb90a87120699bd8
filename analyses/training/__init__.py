"""One question: what happens to knowledge along a training run?"""
