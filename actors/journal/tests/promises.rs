//! What an owner of a journal may count on.

#[path = "promises/damage.rs"]
mod damage;
#[path = "promises/model.rs"]
mod model;
#[path = "promises/ordinary.rs"]
mod ordinary;
#[path = "promises/power.rs"]
mod power;
#[path = "promises/trouble.rs"]
mod trouble;
