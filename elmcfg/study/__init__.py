"""Studies: many variants of one budget measured, trained for a little, and compared honestly."""
