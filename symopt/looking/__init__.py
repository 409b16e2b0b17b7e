"""What Symbols and Executors tell of themselves: the doors to what lies above them."""
