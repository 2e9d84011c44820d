"""What does a person run? The command line, its settings and recipes, whole experiments, pictures and pages."""
