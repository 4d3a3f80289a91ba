//! What the project ships must load.
