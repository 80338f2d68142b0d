"""Requests as they come from outside: reverse proxies, host names, pages of other origins."""
