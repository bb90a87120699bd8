"""One question: how far can a comparison be trusted?"""
