"""RPyC for people: services, connections, classic helpers. The protocol lives in `wire`, `objects` and `conversations`."""
