//! Goal: the tables of `docs/configuration.md` are those of the declared settings.
//! Method: the blocks of the page between `<!-- begin: HEADING -->` and `<!-- end: HEADING -->` are
//! rendered from the declarations and compared. `UPDATE_DOCS=1` rewrites them. The block of errors
//! is what the binary prints; `tests/it/docs.rs` compares it.

use std::fs;
use std::path::Path;

use crate::config::setting::{Declared, Group, ValueKind};
use crate::config::settings::GROUPS;

const PAGE: &str = "docs/configuration.md";
const COMMAND: &str = "UPDATE_DOCS=1 cargo test --lib config";

/// What to write, from the error for a text that is not valid.
fn expected(setting: &dyn Declared) -> String {
    // A number that no host has, so that the text does not depend on one.
    const CORES: usize = 40_961;
    let cores: Vec<_> = (0..CORES).collect();
    match (setting.error("?", &cores), setting.kind()) {
        (Some(error), _) => error
            .replace(&format!(": {cores:?}"), "")
            .replace(&CORES.to_string(), "the number of cores")
            .trim_end_matches(": not \"?\"")
            .to_owned(),
        (None, ValueKind::Key) => "a key, as text".to_owned(),
        (None, ValueKind::Public("PATH")) => "a path".to_owned(),
        (None, kind) => panic!("{} takes any {}: say here what that is", setting.name(), kind.value_name()),
    }
}

fn table(group: &Group) -> String {
    let mut table = "| variable, flag | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for setting in group.settings {
        let name = format!("`{}`<br>`--{}`", setting.name(), setting.flag());
        let cells = [name, expected(*setting), setting.default().text(), setting.help().to_owned()];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

#[test]
fn the_tables_of_the_page_are_the_declared_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).expect("the page");
    let mut expected = page.clone();
    for group in GROUPS {
        let [begin, end] = ["begin", "end"].map(|side| format!("<!-- {side}: {} -->\n", group.heading));
        let from = expected.find(&begin).unwrap_or_else(|| panic!("{PAGE} has no line {begin}"));
        let until = expected.find(&end).unwrap_or_else(|| panic!("{PAGE} has no line {end}"));
        expected.replace_range(from + begin.len()..until, &table(group));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).expect("written");
        return;
    }
    let difference = page.lines().zip(expected.lines()).find(|(is, should_be)| is != should_be);
    assert!(
        page == expected,
        "{PAGE} is not what the code says: run `{COMMAND}` and commit it. First difference: {difference:#?}"
    );
    assert_eq!(page.matches("<!-- begin: ").count(), GROUPS.len() + 1, "a block that nothing renders");
}
