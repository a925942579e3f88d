"""Moving the tasks of one store to another, with every name held at every instant.

``move`` has the steps, ``sqlite_side`` and ``valkey_side`` implement them for one kind of store, and ``marks`` are the
marks that a move leaves in both stores. No store imports ``move`` or a side.
"""
