"""What a server holds under load: idle connections by the thousand, hostile peers, overload."""
