//! The services of a house: what assertions, certificates, images and logs call them, and where each tells how it is.

/// Name, and port of the health door unless a setting says otherwise.
pub const SERVICES: [(&str, u16); 6] = [
    ("account", 9101),
    ("auth", 9102),
    ("delivery", 9103),
    ("pop3-gateway", 9104),
    ("smtp-gateway", 9105),
    ("control-panel", 9106),
];

/// The names alone.
pub const NAMES: [&str; 6] = {
    let mut names = [""; SERVICES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SERVICES[at].0;
        at += 1;
    }
    names
};
