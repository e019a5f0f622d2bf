"""The TensorFlow Addons tutorial in JAX: settings, tables, pictures."""
