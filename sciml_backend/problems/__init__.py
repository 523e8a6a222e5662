"""The problems: one file each, found by the catalogue."""
