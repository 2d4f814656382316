//! Where something within a text value stands in the text that the value is written in.
//!
//! A value is what is left of `"tank.level > \"20\""` without quotes and escapes, so an offset within it is not one
//! within the file. It must not fail: for what it does not understand it gives the beginning.

/// The offset in `written`, a TOML string with its quotes or a bare text, of what is at `offset` in its `value`.
pub(crate) fn offset_within(written: &str, value: &str, offset: usize) -> usize {
    if written == value {
        return written.floor_char_boundary(offset);
    }
    let quote = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
    let Some(inner) = written.get(quote..) else { return 0 };
    // A line end right after three quotes is no part of the value.
    let newline = if inner.starts_with("\r\n") { 2 } else { usize::from(inner.starts_with('\n')) };
    let start = quote + if quote == 3 { newline } else { 0 };
    let escapes = written.starts_with('"');
    let (mut at, mut read) = (start, 0);
    while let Some(c) = written.get(at..).and_then(|rest| rest.chars().next()) {
        let is_escape = escapes && c == '\\';
        let (taken, given) = if is_escape { escape(&written[at..]) } else { (c.len_utf8(), c.len_utf8()) };
        // What gives nothing stands before what is meant.
        if read >= offset && given > 0 {
            break;
        }
        at += taken;
        read += given;
    }
    written.floor_char_boundary(at)
}

/// How many bytes an escape takes in the file, and how many it gives.
fn escape(text: &str) -> (usize, usize) {
    let digits = |n: usize| {
        let code = text.get(2..2 + n).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        (2 + n, code.and_then(char::from_u32).map_or(1, char::len_utf8))
    };
    match text[1..].chars().next() {
        Some('x') => digits(2),
        Some('u') => digits(4),
        Some('U') => digits(8),
        // The end of a line: all space up to the next text is skipped.
        Some(c) if c.is_whitespace() => (1 + text[1..].len() - text[1..].trim_start().len(), 0),
        Some(c) => (1 + c.len_utf8(), 1),
        None => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_an_offset_of_the_value_is_found_in_the_file() {
        for (written, value) in [
            ("\"ab > X\"", "ab > X"),
            ("'ab > X'", "ab > X"),
            ("'a\\ X'", "a\\ X"),
            ("\"a\\\"b X\"", "a\"b X"),
            ("\"a\\u00fc\\x41\\U0001F600\\tü X\"", "aüA😀\tü X"),
            ("\"\"\"\nab X\"\"\"", "ab X"),
            ("'''\r\nab X'''", "ab X"),
            ("\"\"\"ab \\\n   X\"\"\"", "ab X"),
            ("ab X", "ab X"),
            ("\"ab\" X", "\"ab\" X"),
        ] {
            let offset = value.find('X').expect("is there");
            let found = offset_within(written, value, offset);
            assert_eq!(written[found..].chars().next(), Some('X'), "{written}");
        }
    }

    #[test]
    fn the_end_of_the_value_is_its_closing_quote_and_nothing_panics() {
        assert_eq!(offset_within("\"ab\"", "ab", 2), 3);
        for written in ["", "\"", "\"\\", "\"\\u12", "ü"] {
            let _ = offset_within(written, "something else", 9);
        }
    }
}
