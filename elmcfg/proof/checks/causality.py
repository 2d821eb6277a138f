"""No token sees a later one."""

from __future__ import annotations

from elmcfg.proof.subject import SHORT, CheckFailedError, CheckSkippedError, Subject
from elmcfg.proof.tolerance import expect_close, share_of_difference


def check(subject: Subject) -> str:
    """Change one token, and see that the logits before it stay and those from it on change.

    Tolerance: :data:`elmcfg.proof.tolerance.TOLERANCES`. The two passes do the same operations on
    the earlier tokens, so they usually agree to the last bit.

    Raises:
        CheckFailedError: If an earlier logit changed, or no later one did.
        CheckSkippedError: If there are no two tokens to tell apart.
    """
    length, vocabulary = min(SHORT, subject.seq_len), subject.config.vocab_size
    if length < 2 or vocabulary < 2:
        raise CheckSkippedError("needs two tokens of context and two of vocabulary")
    model, tokens, at = subject.evaluated_model, subject.short_tokens, length // 2
    changed = tokens + 0
    changed[:, at] = (tokens[:, at] + 1) % vocabulary
    before, after = subject.short_logits, model(changed)
    share = share_of_difference(after[:, :at], before[:, :at])
    expect_close(f"token {at} changes the logits of earlier tokens", share, subject.dtype)
    later = share_of_difference(after[:, at:], before[:, at:])
    if later == 0:
        raise CheckFailedError(f"token {at} changes no logit, not even its own")
    return (
        f"changing token {at} of {length} moves earlier logits by {share:.1g}, later by {later:.1g}"
    )
