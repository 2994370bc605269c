"""Where the server of a connection is.

URLs and endpoint strings become endpoints; host names are looked up without the thread pool of
the reactor; TLS is verified.
"""

__all__: list[str] = []
