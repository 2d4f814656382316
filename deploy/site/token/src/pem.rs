//! PEM: DER between two lines. Only what is written here is read here; whoever brings files of others has a real reader.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Letters in a line.
const WIDTH: usize = 64;

/// As a text.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(WIDTH) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The first piece with that label; none where there is none, or it is damaged.
#[must_use]
pub fn decode(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..length).map(|n| n as u8).collect();
            assert_eq!(decode("X Y", &encode("X Y", &der)), Some(der));
        }
        assert_eq!(decode("KEY", &encode("CERTIFICATE", b"abc")), None);
        assert_eq!(decode("KEY", "-----BEGIN KEY-----\n!\n-----END KEY-----"), None);
    }
}
