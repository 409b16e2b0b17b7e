"""Graphs run on the rows of records: all that belongs to one id, side by side."""
