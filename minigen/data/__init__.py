"""Data as NumPy arrays: drawn scenes, the classic sets, a user's folder, toy sets and one loader."""
