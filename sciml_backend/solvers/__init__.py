"""Reference solutions: numerics that know no problem by name."""
