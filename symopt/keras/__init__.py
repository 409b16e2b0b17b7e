"""Keras's optimizer classes, those up to TF 2.10: `so.keras.optimizers`, `so.keras.schedules`."""
