#![allow(clippy::unwrap_used)]

mod damage;
mod directory;
mod durability;
mod keeping;
mod migrating;
mod refusing;
mod samples;
mod secrecy;
