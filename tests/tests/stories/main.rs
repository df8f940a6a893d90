//! The stories of the house, one file each: real services, real Postgres and Redis, real programs. One program, so that they are linked
//! once and wait for things side by side; what measures or kills has programs of its own.

mod acme;
mod apply;
mod authentication;
mod backup;
mod bad_settings;
mod budgets;
mod certificates;
mod credentials;
mod doctor;
mod domains;
mod explain;
mod floods;
mod forwards;
mod held_back;
mod hostile;
mod internationalized;
mod lists;
mod live_changes;
mod lock;
mod loops;
mod neighbours;
mod notifications;
mod programs;
mod replicas;
mod rights;
mod sessions;
mod shapes;
mod spam;
mod story;
mod structure;
mod telemetry;
mod tools;
mod trace;
mod transcripts;
mod vault;
