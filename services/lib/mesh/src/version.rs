//! Which Postern this is.

/// What the site called it when it built its images (`VERSION` of the Dockerfile, with a fingerprint of the sources behind a `+`), else
/// the version of the sources. Replicas of one build tell the same.
pub const VERSION: &str = match option_env!("POSTERN_BUILD_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};
