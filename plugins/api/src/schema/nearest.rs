//! The valid word that somebody probably meant.
//!
//! Restricted Damerau-Levenshtein distance (a swap of neighbours counts once), because most mistakes in a config are a
//! letter too few, too many, wrong or swapped. It must not guess: a word too far from all candidates has no nearest.

/// Longer words are not compared: the work grows with the product of the lengths.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, if one is near: at most a third of its letters differ, and at least one may.
/// Upper and lower case, and `_` and `-`, are the same.
///
/// ```
/// use sedge_plugin::schema::nearest;
/// assert_eq!(nearest("adress", ["every", "address"]), Some("address"));
/// assert_eq!(nearest("colour", ["every", "address"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word)?;
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let folded = folded(candidate)?;
            let limit = (word.len().max(folded.len()) / 3).max(1);
            let distance = distance(&word, &folded);
            // A word of one or two letters is near to every other such word.
            let related = distance == 0 || word.len().min(folded.len()) > 1;
            (related && distance <= limit).then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> Option<Vec<char>> {
    let fold = |c: char| if c == '_' { '-' } else { c.to_ascii_lowercase() };
    let folded: Vec<char> = word.chars().take(LONGEST + 1).map(fold).collect();
    (folded.len() <= LONGEST).then_some(folded)
}

fn distance(a: &[char], b: &[char]) -> usize {
    // Row `i` holds the distances of the first `i` letters of `a` to each beginning of `b`.
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word() {
        let words = ["mode", "address", "every", "i2c-1", "keep_alive"];
        for (slip, meant) in [
            ("modee", "mode"),
            ("mdoe", "mode"),
            ("Mode", "mode"),
            ("adress", "address"),
            ("i2c_1", "i2c-1"),
            ("i2c-2", "i2c-1"),
            ("keepalive", "keep_alive"),
        ] {
            assert_eq!(nearest(slip, words), Some(meant), "{slip}");
        }
    }

    #[test]
    fn a_word_that_is_not_near_has_no_nearest() {
        for word in ["", "x", "colour", "interval", &"mode".repeat(1000)] {
            assert_eq!(nearest(word, ["mode", "every", "y"]), None, "{word}");
        }
        assert_eq!(nearest("mode", []), None);
    }

    #[test]
    fn the_nearest_wins_and_a_tie_goes_to_the_first() {
        assert_eq!(nearest("gpio1", ["gpio0", "gpio1"]), Some("gpio1"));
        assert_eq!(nearest("gpio7", ["gpio0", "gpio1"]), Some("gpio0"));
    }
}
