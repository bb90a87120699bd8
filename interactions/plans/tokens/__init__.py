"""Plans for sequences of tokens: `prefix` reads every shared prefix once, `drop` leaves absent tokens out.

`games` says which games they take, `caches` holds the key-value caches.
"""
