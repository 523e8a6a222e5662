"""Kinds of jobs: one module each, with a function ``run`` (see ``jobs.kind``)."""

import os

if os.environ.get("ATLAS_PLUGINS"):
    __path__.append(os.path.join(os.environ["ATLAS_PLUGINS"], "kinds"))
