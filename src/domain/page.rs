//! Alerts, pages and their ledgers.
