"""The peer servers, each a small program run by the Python of `.bench-venv`. They import nothing of Anycore."""
