//! A number for a text: the same on every machine and in every version.

/// The 64-bit FNV-1a hash. Tells texts apart; keeps nobody out.
///
/// ```
/// assert_eq!(sedge_plugin::fnv1a(b"a"), 0xAF63_DC4C_8601_EC8C);
/// ```
pub fn fnv1a(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}
