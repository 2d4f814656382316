//! What a node, and whoever speaks to one, may count on.

#[path = "promises/codec.rs"]
mod codec;
#[path = "promises/every.rs"]
mod every;
#[path = "promises/golden.rs"]
mod golden;
#[path = "promises/numbers.rs"]
mod numbers;
#[path = "promises/readme.rs"]
mod readme;
