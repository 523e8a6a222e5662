"""What can be measured about one trained run: one diagnostic per module, discovered by the catalogue."""
