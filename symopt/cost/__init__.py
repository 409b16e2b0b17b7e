"""What a step costs: bytes, arithmetic and time, before it runs (`model`) and measured (`profile`)."""

pass


