"""One question: do results hold in other partitions of a picture, and without its neighbours' correlation?"""
