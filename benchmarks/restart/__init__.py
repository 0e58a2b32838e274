"""Restarts under load: whether a call fails while one server takes the place of another."""
