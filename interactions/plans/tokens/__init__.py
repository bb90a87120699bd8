"""Plans for sequences of tokens: shared prefixes (`prefix`) and absent tokens left out (`drop`)."""
