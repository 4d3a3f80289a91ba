//! The one HTTP client for all outgoing calls.
