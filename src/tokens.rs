//! The shared token cache of both sides.
