"""Where a server is: URLs, endpoint strings, host names, TLS."""
