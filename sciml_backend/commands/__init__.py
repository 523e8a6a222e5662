"""The commands: one file each; the module's name is the verb (``import_`` for ``import``)."""
