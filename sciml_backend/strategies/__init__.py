"""The optimisers: one file each, found by the catalogue."""
