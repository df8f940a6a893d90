//! Redis as auth, delivery and the doctor use it: where it is (`settings`), the one connection that a process has
//! (`connection`), and whether that Redis may be used at all (`fitness`).

mod connection;
mod fitness;
mod settings;

pub use connection::Connection;
pub use fitness::{Unfit, judge_memory_policy};
pub use settings::RedisSettings;
