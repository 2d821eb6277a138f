"""What can be wrong before a training run starts."""


class TrainingError(ValueError):
    """A run cannot start as asked; the message says what to change."""


class CorpusError(TrainingError):
    """A corpus or its tokenizer cannot be used; the message names it and says what to change."""


class TokenizerError(CorpusError):
    """It is the tokenizer."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be written, read, or belongs to another run; the message says which."""
