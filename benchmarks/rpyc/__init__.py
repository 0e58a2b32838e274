"""RPyC measured beside RPyC's own servers and clients: `python -m benchmarks.rpyc`."""
