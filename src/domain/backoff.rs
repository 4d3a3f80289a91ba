//! When to try again: exponential backoff with full jitter, and the destination's own wish honoured.
