"""Hand-written C kernels, compiled once on the machine they run on; everything works without them, only slower."""
