"""Double descent: test error over the number of features, of examples, of steps, and of parameters."""
