"""Where the server of a connection is.

URLs and endpoint strings become endpoints.  An address needs no look-up, and TLS is verified.
"""

__all__: list[str] = []
