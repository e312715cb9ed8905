"""Being here, it puts this folder on the path: every test may import close.py."""
