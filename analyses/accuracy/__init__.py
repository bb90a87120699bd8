"""One question: has knowledge to do with accuracy?"""
