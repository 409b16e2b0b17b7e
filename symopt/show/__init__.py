"""Rules for people: formulas as mathematics, compared, described, and written to pages."""
