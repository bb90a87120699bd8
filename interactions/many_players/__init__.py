"""Where 2ⁿ is out of reach: screening, low orders, sparse Möbius transforms. What is approximate says so."""
