"""``thoonk top``: all feeds, jobs and workers on one screen, refreshed every second or so."""
