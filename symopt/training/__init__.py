"""A step for many parameters at once: what `so.compile` and the classes of MXNet, Keras and torch are made of."""
