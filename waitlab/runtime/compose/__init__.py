"""The lab in containers, seen from inside them."""
