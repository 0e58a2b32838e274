"""Cores that are others' HTTP servers, and what goes on in them: ASGI and WSGI applications that run jobs.

Each server has a module of its own; nothing else imports its package.
"""
