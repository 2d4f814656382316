//! The commands, one file each.

pub mod check;
pub mod demo;
pub mod node;
pub mod once;
pub mod readings;
pub mod remote;
pub mod run;
pub mod sensor;
pub mod tool;
pub mod version;
