"""From a URL to a connection that comes back.

URLs, endpoint strings, TLS, keep-alive, reconnecting, and the queue of calls that
wait while there is no connection.
"""

__all__: list[str] = []
