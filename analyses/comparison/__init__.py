"""One question: what did fine-tuning keep, drop and learn?"""
