"""No token sees a later one."""

from __future__ import annotations

from elmcfg.proof.subject import SHORT, CheckFailedError, CheckSkippedError, Subject
from elmcfg.proof.tolerance import expect_close, share_of_difference


def check(subject: Subject) -> str:
    """Change the later tokens, and see that the logits before them stay and their own change.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`. Both are rows of one pass, in which a BLAS
    may add up each row in its own order, so that they agree to rounding.

    Raises:
        CheckFailedError: If an earlier logit changed, or no later one did.
        CheckSkippedError: If there are no two tokens to tell apart.
    """
    length, vocabulary = min(SHORT, subject.seq_len), subject.config.vocab_size
    if length < 2 or vocabulary < 2:
        raise CheckSkippedError("needs two tokens of context and two of vocabulary")
    (before, after), at = subject.paired_logits, length // 2
    what = f"changing tokens {at} to {length - 1}"
    share = share_of_difference(after[:at], before[:at])
    expect_close(f"{what} changes the logits of earlier ones", share, subject.dtype)
    later = share_of_difference(after[at:], before[at:])
    if later == 0:
        raise CheckFailedError(f"{what} changes no logit, not even their own")
    return f"{what} moves earlier logits by {share:.1g}, their own by {later:.1g}"
