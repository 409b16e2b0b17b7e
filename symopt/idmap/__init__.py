"""Any int64 id to the number of a row."""
