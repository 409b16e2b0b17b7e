"""State of other systems, to and from here."""
