"""Being here, it puts this folder on the path: every test may import close.py."""

collect_ignore_glob = ["golden/make_*.py"]  # they write golden files, with PyTorch
