"""Client protocols: the paths, model lists and manners that each kind of client expects."""
