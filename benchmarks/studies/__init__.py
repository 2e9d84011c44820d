"""What the write-ups claim in prose, written down as studies and answered by running them; see `__main__`."""
