"""One question: what do several pretrainings, side by side, keep and learn?"""
