"""The study `ntk`: networks of infinite width, their tangent kernel, and what it predicts of finite ones."""
