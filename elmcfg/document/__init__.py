"""Text to a plain tree with a place in the text for every key and value.

``parse`` turns YAML or JSON text into a :class:`Document`: dicts, lists and scalars, and beside
them the :class:`~elmcfg.diagnostics.Span` of each. Problems of the text itself (syntax, duplicate
keys, limits) come back in the document, never as exceptions. Nothing in a file is ever executed.
"""

from elmcfg.document.files import (
    FileTooLargeError,
    LinkError,
    UnsuitableFileError,
    exists,
    is_file,
    open_regular,
    read_regular,
    require_inside,
)
from elmcfg.document.lines import Format
from elmcfg.document.reading import (
    Document,
    decode,
    guess_format,
    parse,
    read_bytes,
    refused,
    unreadable,
)
from elmcfg.document.temporary import beside, is_temporary, replaced
from elmcfg.document.writing import (
    TargetTakenError,
    dump_yaml,
    new_file,
    write_atomically,
    write_back,
)

__all__ = [
    "Document",
    "FileTooLargeError",
    "Format",
    "LinkError",
    "TargetTakenError",
    "UnsuitableFileError",
    "beside",
    "decode",
    "dump_yaml",
    "exists",
    "guess_format",
    "is_file",
    "is_temporary",
    "new_file",
    "open_regular",
    "parse",
    "read_bytes",
    "read_regular",
    "refused",
    "replaced",
    "require_inside",
    "unreadable",
    "write_atomically",
    "write_back",
]
