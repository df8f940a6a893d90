//! The control panel as its people use it: in Debian's chromium, against the whole house, with what they set up checked by
//! POP3 and SMTP.

mod browser;
mod doors;
mod finding;
mod forms;
mod home;
mod house;
mod import;
mod mail;
mod menus;
mod operator;
mod reach;
mod safety;
mod security;
mod setup;
mod trouble;
mod undo;
mod untouched;
mod ways;
mod weight;
mod widths;
mod zones;
