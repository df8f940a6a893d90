//! Session tables.
