//! Patterns in which `*` stands for anything: of tools and of callers.
//!
//! ```
//! assert!(sedge_plugin::glob("pump_*", "pump_set"));
//! assert!(!sedge_plugin::glob("pump_*", "lamp_set"));
//! ```
//!
//! There is no other sign, and no escape: neither a tool nor a caller has a star in its name.

/// Whether a text fits a pattern, in which `*` stands for anything.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in
            [("*", ""), ("pump_*", "pump_set"), ("*a*b", "xaxxb"), ("set", "set"), ("a*", "a")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("pump_*", "lamp_set"), ("a", "ab"), ("*a*b", "xbxa"), ("ab*b", "ab")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
