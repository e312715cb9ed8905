"""Pictures of one's own, as small as can be."""

from PIL import Image


def two_folders(path):
    """trainA and testA dark, trainB and testB bright: three pairs to learn from, two to test."""
    for split, n in (("train", 3), ("test", 2)):
        for kind, grey in (("A", 40), ("B", 200)):
            where = path / f"{split}{kind}"
            where.mkdir(parents=True)
            for k in range(n):
                Image.new("RGB", (20, 16), (grey + 5 * k, grey, grey)).save(where / f"{k}.png")
    return str(path)
