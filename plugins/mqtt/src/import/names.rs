//! What a sensor of another node is called here, and which are wanted.
//!
//! `air` of `greenhouse` is `greenhouse-air`. Where that is longer than an id may be, its beginning and six digits that
//! are always the same for it: two long names stay two.

use sedge_plugin::{Id, MAX_LENGTH, fnv1a};

/// Digits that tell long names apart.
const DIGITS: usize = 6;

/// The id of a sensor of another node.
pub(super) fn local_id(node: &Id, sensor: &Id) -> Id {
    let name = format!("{node}-{sensor}");
    if name.len() <= MAX_LENGTH {
        return Id::sanitized(&name, "remote");
    }
    let mark = fnv1a(name.as_bytes()) & 0xff_ffff;
    let stem = name[..MAX_LENGTH - DIGITS - 1].trim_end_matches('-');
    Id::sanitized(&format!("{stem}-{mark:06x}"), "remote")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn a_sensor_is_called_after_its_node() {
        assert_eq!(local_id(&id("greenhouse"), &id("air")).as_str(), "greenhouse-air");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let node = id("a-greenhouse-far-away");
        let [one, other] = ["soil-moisture-1", "soil-moisture-2"].map(|sensor| local_id(&node, &id(sensor)));
        assert_ne!(one, other);
        assert_eq!(one, local_id(&node, &id("soil-moisture-1")), "the same at every start");
        assert!(one.as_str().starts_with("a-greenhouse-far-away-so"), "{one}");
        assert!(Id::new(one.as_str()).is_ok() && Id::new(other.as_str()).is_ok());
    }
}
