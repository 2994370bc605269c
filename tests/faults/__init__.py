"""Every public verb under every fault: see ``verbs`` for the rows, ``outcomes`` for the cells."""
