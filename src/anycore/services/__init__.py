"""Plugins that come with Anycore. They are plugins like any other."""
