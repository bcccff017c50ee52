"""The study `puzzle`: networks that can memorize generalize, what bounds say of it, and what regularization adds."""
