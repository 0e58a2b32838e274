"""What several processes give, what the end of one costs, and how connections are shared: `python -m benchmarks.prefork`."""
