"""Preparing a folder of pictures for a training: one step to a file, in the order they are done.

decode      safely, upright, RGB of 8 bits         duplicates   a hash of what one sees
denoise     non-local means                        segment      what is foreground
reshape     crop and resize, without aliasing      normalise    the whole range of brightness
augment     flips, crops, colours, holes           captions     from texts, names, folders
settings    what it can be told                    pipeline     all steps, resumable
report      before and after, and what was dropped
"""

from minigen.data.prepare.pipeline import Picture, prepare
from minigen.data.prepare.report import summary, write_report
from minigen.data.prepare.settings import Settings

__all__ = ["Picture", "Settings", "prepare", "summary", "write_report"]
