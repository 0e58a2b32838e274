"""What can be set, and where settings come from. Reading and checking only; what is made of settings lives in `server`."""
