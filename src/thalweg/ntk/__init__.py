"""The neural tangent kernel: of finite networks, of infinitely wide ones, and what it predicts of training."""
