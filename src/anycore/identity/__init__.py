"""Who is calling: authenticators, and what they look things up in. The door they stand at is `kernel.authentication`."""
