"""One TOML for each experiment: what `minitx train --recipe NAME` reads. Complete, and short enough to copy."""
