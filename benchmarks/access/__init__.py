"""What the door costs: the authorisation step of a call, with few rules and with many."""
