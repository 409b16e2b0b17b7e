"""What arrays hold: numbers that are not finite, and how a step would change them."""
