"""Facades: other libraries' names on top of Anycore. Nothing real lives here, and nothing below imports it."""
