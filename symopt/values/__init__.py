"""Values inside a step: what an element is made of, and where something went wrong."""
