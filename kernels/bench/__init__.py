"""The benchmark: every rung, whole training and sampling steps, and PyTorch on the same cores.

    minigen bench --ops conv2d --rungs --against torch --quick

It measures everything, so unlike the other folders here it may import all of minigen.

    torch_unet.py   the networks of the recipes as a user of PyTorch writes them, and their weights
"""
