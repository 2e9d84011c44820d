"""What is the whole model? encoder (ids to one vector per sentence), multitask (that, and named heads)."""
