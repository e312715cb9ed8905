"""Data as NumPy arrays: scenes, the classic sets, a user's folder, toy sets and one loader."""
