"""The plugins of ``twist``: ``thoonk-worker`` and ``thoonk-maintenance``.

``twisted/plugins/txthoonk_plugin.py`` registers them. Their options come from the command line or
the environment.
"""

__all__: list[str] = []
