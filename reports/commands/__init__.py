"""One command a file; each defines ``register(app)``."""
