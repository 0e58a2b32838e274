"""Assembly: settings, kernel, plugins, core and listeners become a server. No command line here, and nothing that serves."""
