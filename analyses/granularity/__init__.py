"""One question: what does pretraining on few or many classes do for a target?"""
