"""What is a layer? Parameters with names, and one call into `autograd.functional`."""
