"""Numerical linear algebra on batches of vectors; it knows nothing of networks or equations."""
