"""`rpyc.cli`: the two commands, by their modules' names."""
