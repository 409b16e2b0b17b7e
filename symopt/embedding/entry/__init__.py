"""The classes of Monolith's entry.py: what a table is configured with."""
