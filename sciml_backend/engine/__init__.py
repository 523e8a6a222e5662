"""The engine: batches of rows, the training loop, what goes into the record."""
