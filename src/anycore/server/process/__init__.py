"""A server as a process of its machine: background, pid file, privileges, signals, systemd, the control socket, and its successor."""
