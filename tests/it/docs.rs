//! Goal: the statements of `docs/` about settings, and its quotes of the hub, agree with the code.
//! Method: the blocks of `docs/configuration.md` between `<!-- begin: NAME -->` and `<!-- end: NAME
//! -->` are rendered from the declarations of the settings, from their errors, and from the binary,
//! and compared. `UPDATE_DOCS=1` rewrites them. Quotes in `docs/troubleshooting.md` must be in the
//! sources, and settings named in `docs/migration.md` must exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Arg, Args as _, FromArgMatches as _};
use petasos::config::{Config, Environment, Options};

const PAGE: &str = "docs/configuration.md";
const CORES: usize = 40_961;
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The settings as declared, independent of the test's environment.
fn declared() -> clap::Command {
    Options::augment_args(clap::Command::new("petasos")).mut_args(|argument| argument.env(None))
}

/// The settings that have an environment variable.
fn settings() -> Vec<Arg> {
    let command = Options::augment_args(clap::Command::new("petasos"));
    command.get_arguments().filter(|argument| argument.get_env().is_some()).cloned().collect()
}

fn variable(setting: &Arg) -> String {
    setting.get_env().expect("a variable").to_string_lossy().into_owned()
}

/// The expected value of a setting, from the error for an invalid one; `None` if any text is valid.
fn expected(setting: &Arg) -> Option<String> {
    let flag = format!("--{}=?", setting.get_long().expect("a long flag"));
    let mut arguments = vec!["petasos", &flag];
    // A separate key conflicts with some settings, and a missing key is an error; `--demo` avoids
    // both.
    if setting.get_long() != Some("demo") {
        arguments.push("--demo");
    }
    let matches = declared().try_get_matches_from(arguments).expect("every setting takes text");
    let options = Options::from_arg_matches(&matches).expect("text");
    // A number of cores that no host has, so that the text does not depend on the host.
    let cpus: Vec<_> = (0..CORES).collect();
    let environment = Environment { read_file: &|_| Ok(KEY.to_owned()), cpus: &cpus, variables: &[] };
    let errors = Config::read(&options, &environment).err()?;
    let name = variable(setting);
    let error = errors.into_iter().find(|error| error.name == name)?;
    let text =
        error.expected.replace(&format!(": {cpus:?}"), "").replace(&CORES.to_string(), "the number of cores");
    Some(text.trim_end_matches(": not \"?\"").to_owned())
}

/// The text of the help, and the default that ends it.
fn meaning_and_default(setting: &Arg) -> (String, String) {
    let name = variable(setting);
    let help = setting.get_help().unwrap_or_else(|| panic!("{name} has no help")).to_string();
    let split =
        help.rsplit_once(" [default: ").and_then(|(meaning, rest)| Some((meaning, rest.strip_suffix(']')?)));
    let (meaning, default) =
        split.unwrap_or_else(|| panic!("the help of {name} does not end with [default: …]: {help}"));
    (meaning.to_owned(), default.to_owned())
}

/// One table for each heading of the help: its name and its lines.
fn tables() -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    for setting in settings() {
        let name = variable(&setting);
        let heading =
            setting.get_help_heading().unwrap_or_else(|| panic!("{name} is under no heading")).to_owned();
        let kind = setting.get_value_names().and_then(|names| names.first()).expect("a value").to_string();
        let value = expected(&setting).unwrap_or_else(|| match kind.as_str() {
            "PATH" => "a path".to_owned(),
            "KEY" => "a key, as text".to_owned(),
            kind => panic!("{name} takes any {kind}: say here what that is"),
        });
        let (meaning, default) = meaning_and_default(&setting);
        let flag = setting.get_long().expect("a long flag");
        let cells = [format!("`{name}`<br>`--{flag}`"), value, default, meaning];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let table = tables.entry(heading).or_insert_with(|| {
            "| variable, flag | value | default | meaning |\n|---|---|---|---|\n".to_owned()
        });
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    tables
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

/// The page with its blocks replaced by `rendered`.
fn rewritten(page: &str, rendered: &BTreeMap<String, String>) -> String {
    let mut page = page.to_owned();
    for (name, text) in rendered {
        let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
        let from = page.find(&begin).unwrap_or_else(|| panic!("{PAGE} has no line {begin}"));
        let until = page.find(&end).unwrap_or_else(|| panic!("{PAGE} has no line {end}"));
        page.replace_range(from + begin.len()..until, text);
    }
    page
}

#[test]
fn the_page_of_the_settings_is_what_the_code_says() {
    let mut rendered = tables();
    rendered.insert("errors".to_owned(), errors());
    let page = read(PAGE);
    let expected = rewritten(&page, &rendered);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(in_repository(PAGE), &expected).expect("written");
        return;
    }
    let differs = page.lines().zip(expected.lines()).find(|(is, should_be)| is != should_be);
    assert!(
        page == expected,
        "{PAGE} is not what the code says: run `UPDATE_DOCS=1 cargo test --test it docs::` and commit it. First difference: {differs:#?}"
    );
    assert_eq!(
        page.matches("<!-- begin: ").count(),
        rendered.len(),
        "{PAGE} has a block that nothing renders"
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
    let names: Vec<_> = settings().iter().map(variable).collect();
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
