//! What the end-to-end stories and the demo share.

pub mod load;
