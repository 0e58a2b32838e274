"""Finding plugins and reading the styles they are written in. What a plugin is lives in `kernel`."""
