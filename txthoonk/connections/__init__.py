"""From a URL to a connection that reconnects.

URLs, endpoint strings, TLS, the liveness check, the back-off, reconnecting, and the offline
queue, which keeps calls while there is no connection.
"""

__all__: list[str] = []
