"""What bench/run and bench/check are made of."""
