"""The whole path: encoder (ids to one vector per sentence), multitask (that and named heads)."""
