//! The table of promises, as `PROMISES.md` shows it.

use super::home::HOMES;

/// A promise.
pub struct Row {
    pub name: &'static str,
    pub title: &'static str,
    /// It is about hardware, whose threads know nothing of a time that stands still.
    pub hardware: bool,
    /// Where it is not given, and why.
    pub except: &'static [(&'static str, &'static str)],
}

impl Row {
    pub fn why_not(&self, home: &str) -> Option<&'static str> {
        self.except.iter().find(|(name, _)| *name == home).map(|(_, why)| *why)
    }
}

/// The page.
pub fn page(groups: &[(&str, &[Row])]) -> String {
    let mut page = String::from(
        "# What a plugin may count on, wherever it runs\n\n\
         Written by a test (`SEDGE_GOLDEN=write cargo test -p sedge-conformance`): each ✓ is a test of its own, named\n\
         `HOME::PROMISE`, that holds the promise against the same plugin in that home.\n",
    );
    let mut notes: Vec<&str> = Vec::new();
    for (group, rows) in groups {
        page += &format!("\n## {group}\n\n| promise |");
        HOMES.iter().for_each(|home| page += &format!(" {} |", home.title()));
        page += &format!("\n|---|{}\n", "---|".repeat(HOMES.len()));
        for row in *rows {
            page += &format!("| {} |", row.title);
            for home in HOMES {
                page += &match row.why_not(home.name()) {
                    None => " ✓ |".to_owned(),
                    Some(why) => {
                        let at = notes.iter().position(|note| *note == why).unwrap_or_else(|| {
                            notes.push(why);
                            notes.len() - 1
                        });
                        format!(" – ({}) |", at + 1)
                    }
                };
            }
            page += "\n";
        }
    }
    if !notes.is_empty() {
        page += "\n";
    }
    notes.iter().enumerate().for_each(|(at, note)| page += &format!("{}. {note}\n", at + 1));
    page
}
