"""The models: one file each, found by the catalogue."""
