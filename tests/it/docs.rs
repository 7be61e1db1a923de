//! Goal: the statements of `docs/` about settings, and its quotes of the hub, agree with the code.
//! Method: the errors in `docs/configuration.md` are those of the binary; `UPDATE_DOCS=1` rewrites
//! them (a unit test of `config` does the same with the tables of that page). Quotes in
//! `docs/troubleshooting.md` must be in the sources, and settings named in `docs/migration.md` must
//! exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args as _;
use petasos::config::Options;

const PAGE: &str = "docs/configuration.md";
const BEGIN: &str = "<!-- begin: errors -->\n";
const END: &str = "<!-- end: errors -->";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the settings.
fn settings() -> Vec<String> {
    let command = Options::augment_args(clap::Command::new("petasos"));
    let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    names.map(str::to_owned).collect()
}

/// The errors of a start with these variables, as a terminal shows them.
fn errors() -> String {
    const WRONG: [(&str, &str); 5] = [
        ("HEARTBEAT_INTERVAL", "15"),
        ("MAX_BODY_SIZE", "1M"),
        ("HISTORY_SIZE", "-1"),
        ("CORS_ALLOWED_ORIGINS", "app.example.com"),
        ("SUBSCRIPTIONS", "on"),
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_petasos"))
        .env_clear()
        .envs(WRONG)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let given: Vec<_> = WRONG.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    format!("```console\n$ {} petasos\n{said}$ echo $?\n2\n```\n", given.join(" "))
}

#[test]
fn the_errors_on_the_page_of_the_settings_are_those_of_the_hub() {
    let page = read(PAGE);
    let from = page.find(BEGIN).expect("a block begins") + BEGIN.len();
    let until = page.find(END).expect("the block ends");
    let errors = errors();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{}{errors}{}", &page[..from], &page[until..]);
        fs::write(in_repository(PAGE), page).expect("written");
        return;
    }
    assert_eq!(
        page[from..until],
        errors,
        "{PAGE} is not what the hub says: run `UPDATE_DOCS=1 cargo test --test it docs::` and commit it"
    );
}

/// All source text, with continued strings joined.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, text);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let file = fs::read_to_string(&entry).expect("UTF-8");
            let mut lines = file.split("\\\n");
            text.push_str(lines.next().unwrap_or_default());
            lines.for_each(|line| text.push_str(line.trim_start()));
        }
    }
}

/// Each quote in a column "the hub says" of the troubleshooting page is in the sources, except for
/// the text that `…` stands for.
#[test]
fn what_the_page_on_troubles_quotes_is_what_the_hub_says() {
    let mut text = String::new();
    sources(&in_repository("src"), &mut text);
    let text = text.replace("\\\"", "\"");
    let page = read("docs/troubleshooting.md");
    let (mut count, mut unknown) = (0, Vec::new());
    let mut is_quoting = false;
    for row in page.lines() {
        is_quoting = row.starts_with("| the hub says |") || (is_quoting && row.starts_with('|'));
        if !is_quoting {
            continue;
        }
        let cell = row.split(" | ").next().unwrap_or_default();
        for quoted in cell.split('`').skip(1).step_by(2) {
            let parts = quoted.split('…').map(|part| part.trim_matches([' ', ':', ';', ',', '(', ')', '"']));
            for part in parts.filter(|part| !part.is_empty()) {
                count += 1;
                if !text.contains(part) {
                    unknown.push(part);
                }
            }
        }
    }
    assert!(unknown.is_empty(), "docs/troubleshooting.md quotes what no source says: {unknown:#?}");
    assert!(count > 80, "the page quotes the hub: {count}");
}

/// Each setting of ours that the migration page names exists.
#[test]
fn the_page_on_migration_names_settings_that_there_are() {
    let names = settings();
    let page = read("docs/migration.md");
    let (mut count, mut is_table) = (0, false);
    for row in page.lines() {
        is_table = row.starts_with("| there | here |") || (is_table && row.starts_with('|'));
        let Some(ours) = row.split('|').nth(2).filter(|_| is_table) else { continue };
        for code in ours.split('`').skip(1).step_by(2) {
            for word in code.split(' ').filter_map(|word| word.split('=').next()) {
                if !word.starts_with('_')
                    && word.len() > 3
                    && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
                {
                    assert!(names.iter().any(|name| name == word), "docs/migration.md: {word} is no setting");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 40, "the page names settings: {count}");
}
