"""What people look at: each dashboard is a module, said in the words of `vocabulary`."""
