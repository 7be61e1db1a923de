//! The rules of the code that a test can check: dependencies, access to the system, names, sizes,
//! `unsafe`.

mod modules;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use modules::{Modules, circles};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const HEADER_LINES_MAX: usize = 10;

/// Retired names of our items; each has a standard replacement.
const RETIRED: &str = "Answer Aside Bell Bench Board Carrier Desk Doze Entrance Extent Fate Flow FrameMeter Inside Lack \
    Lease Letter Librarian Line Looks Meters Mistake Multiplexed PartsSeed Passage Piece Place Placed \
    Pulse Readiness Requesting Salvaged Seat SequencerBoard ShardBoard Span Stage Stretch Surroundings \
    Ticket Total Unmade Unpublished Unverified Unwell Wishes Woken librarian look_at passage salvage \
    telling";

/// More retired names. HTTP or a dependency uses these words, so only our types may not have them.
const RETIRED_TYPES: &str = "Full Host Link Origin Parts Post Question Reason Site";

fn files(under: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.ends_with("node_modules") || entry.ends_with("target") {
                continue;
            }
            if entry.is_dir() {
                walk(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.push(entry);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(under), &mut found);
    assert!(!found.is_empty(), "no file under {under}");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("UTF-8");
        (path.strip_prefix(root).expect("below the root").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

fn is_test(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name == "tests"
}

/// The lines before the tests, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Fails if a line of code in these modules contains one of these words.
fn forbid(modules: &[&str], words: &[&str]) {
    for module in modules {
        for (path, text) in files(module).iter().filter(|(path, _)| !is_test(path)) {
            for (number, line) in code(text) {
                let found = words.iter().find(|word| line.contains(*word));
                assert!(found.is_none(), "{}:{}: {found:?} has no place here", path.display(), number + 1);
            }
        }
    }
}

/// The dependency rule: for each module at the top, the modules that it may use.
/// `docs/ARCHITECTURE.md` draws it.
const RULE: [(&str, &[&str]); 21] = [
    ("error_text", &[]),
    ("limits", &[]),
    ("panics", &[]),
    ("shrink", &[]),
    ("time", &[]),
    ("ring", &[]),
    ("redact", &["limits"]),
    ("mercure", &["limits", "panics", "shrink"]),
    ("sse", &["limits", "mercure"]),
    ("http", &["limits", "mercure", "sse"]),
    ("api", &["limits", "time", "redact", "mercure", "sse", "http"]),
    ("history", &["error_text", "limits", "panics", "mercure", "sse"]),
    ("hub", &["limits", "shrink", "time", "mercure", "sse", "history"]),
    ("io", &["error_text", "limits", "panics", "time", "ring", "redact", "sse"]),
    ("ops", &["error_text", "limits", "redact", "http", "api", "history", "hub", "io"]),
    ("services", &["error_text", "limits", "panics", "redact", "mercure", "http", "api", "io"]),
    (
        "server",
        &[
            "error_text",
            "limits",
            "shrink",
            "time",
            "ring",
            "redact",
            "mercure",
            "sse",
            "http",
            "api",
            "history",
            "hub",
            "io",
            "ops",
            "services",
        ],
    ),
    (
        "config",
        &["limits", "mercure", "sse", "http", "api", "history", "hub", "io", "ops", "services", "server"],
    ),
    ("logging", &["panics", "redact", "config", "ops"]),
    ("embed", &["error_text", "mercure", "sse", "history", "ops", "server", "config"]),
    (
        "cli",
        &[
            "error_text",
            "limits",
            "mercure",
            "sse",
            "http",
            "api",
            "history",
            "hub",
            "io",
            "ops",
            "services",
            "server",
            "config",
            "logging",
        ],
    ),
];

#[test]
fn modules_use_only_what_the_dependency_rule_allows() {
    let files = files("src");
    let modules = Modules::read(Path::new("src"), &files);
    let top = |file: &Path| {
        let first = file.strip_prefix("src").ok().and_then(|below| below.iter().next());
        first.map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned()).unwrap_or_default()
    };
    let mut wrong = Vec::new();
    for (from, to) in modules.uses() {
        let (user, used) = (top(from), top(to));
        let allowed = RULE.iter().find(|(name, _)| *name == user).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else { continue };
        if user != used && !allowed.contains(&used.as_str()) {
            wrong.push(format!("{} uses {}", from.display(), to.display()));
        }
    }
    assert!(wrong.is_empty(), "against the dependency rule:\n{}", wrong.join("\n"));
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    for root in ["src", "loadtest/src"] {
        let files = files(root);
        let modules = Modules::read(Path::new(root), &files);
        let circles = circles(&modules.uses());
        let mut text = String::new();
        for circle in &circles {
            text.push_str("a circle:\n");
            for (from, to) in circle {
                text.push_str(&format!("  {} uses {}\n", from.display(), to.display()));
            }
        }
        assert!(circles.is_empty(), "{text}");
    }
}

#[test]
fn pure_modules_do_not_touch_the_system() {
    let world = [
        "glommio",
        "rustix",
        "std::net::Tcp",
        "std::fs",
        "std::thread",
        "Instant::",
        "SystemTime",
        "std::env",
        "tokio",
    ];
    let pure = ["src/mercure", "src/sse", "src/http", "src/api", "src/hub", "src/ring"];
    forbid(&pure, &world);
    // A history may use files, and nothing else.
    let without_files: Vec<_> = world.into_iter().filter(|word| *word != "std::fs").collect();
    forbid(&["src/history"], &without_files);
}

/// Tokio runs only on the thread that orders certificates, never on a shard. HTTP/2 gets its socket
/// through two of tokio's traits.
#[test]
fn the_runtime_of_tokio_stays_on_its_thread() {
    let is_of_acme = |path: &Path| path.to_string_lossy().starts_with("src/services/acme");
    for (path, text) in files("src").iter().filter(|(path, _)| !is_of_acme(path)) {
        let traits_alone = path.ends_with("server/http2/h2_io.rs");
        for (number, line) in code(text).filter(|(_, line)| !(traits_alone && line.contains("tokio::io::"))) {
            let found = ["tokio", "instant_acme"].into_iter().find(|word| line.contains(word));
            assert!(found.is_none(), "{}:{}: {found:?} has no place here", path.display(), number + 1);
        }
    }
}

#[test]
fn unsafe_stays_where_it_is_explained() {
    for (path, text) in files("src") {
        let allowed = path.starts_with("src/ring")
            || path.ends_with("io/allocator.rs")
            || path.ends_with("io/listener.rs")
            || path.ends_with("io/uring.rs");
        let unsafe_lines =
            code(&text).filter(|(_, line)| line.contains("unsafe {") || line.contains("unsafe impl"));
        for (number, _) in unsafe_lines {
            assert!(allowed, "{}:{}: unsafe", path.display(), number + 1);
            let before: Vec<_> = text.lines().skip(number.saturating_sub(3)).take(3).collect();
            let explained = before.iter().any(|line| line.contains("// "));
            assert!(explained, "{}:{}: no SAFETY line", path.display(), number + 1);
        }
    }
}

/// The name of the type that this line declares, if any. Indented declarations are not found.
fn declared(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => line.strip_prefix("pub ").unwrap_or(line),
    };
    let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
    let name = kinds.into_iter().find_map(|kind| line.strip_prefix(kind))?;
    name.split(|letter: char| !letter.is_alphanumeric()).next()
}

#[test]
fn retired_words_are_gone() {
    let [retired, types] = [RETIRED, RETIRED_TYPES].map(|words| words.split(' ').collect::<HashSet<_>>());
    let folders = ["src", "tests", "benches", "fuzz", "loadtest/src", "loadtest/tests"];
    for (path, text) in
        folders.into_iter().flat_map(files).filter(|(path, _)| !path.starts_with("tests/tidy"))
    {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (number, line) in lines {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let found = words.find(|word| retired.contains(word));
            let found = found.or(declared(line).filter(|name| types.contains(name)));
            assert!(found.is_none(), "{}:{}: {found:?} has a standard name", path.display(), number + 1);
        }
    }
}

#[test]
fn no_type_name_stands_for_two_things() {
    let mut seen = HashMap::new();
    for (path, text) in files("src").iter().filter(|(path, _)| !is_test(path)) {
        for name in code(text).filter_map(|(_, line)| declared(line)) {
            let other = seen.insert(name.to_owned(), path.clone());
            assert!(
                other.is_none(),
                "{name} is in {} and in {}",
                path.display(),
                other.unwrap_or_default().display()
            );
        }
    }
}

#[test]
fn comments_end_at_column_100() {
    for (path, text) in
        ["src", "loadtest", "tests", "benches", "examples", "fuzz"].into_iter().flat_map(files)
    {
        let mut is_code_block = false;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//"))
        {
            is_code_block ^= line.contains("```");
            let columns = line.chars().count();
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(is_code_block || columns <= 100, "{place}: a comment of {columns} columns");
        }
    }
}

#[test]
fn files_and_functions_stay_small() {
    for (path, text) in ["src", "loadtest/src", "fuzz/properties"].into_iter().flat_map(files) {
        if is_test(&path) {
            continue;
        }
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start();
            let starts = words.contains("fn ")
                && !words.starts_with("//")
                && words.contains('(')
                && !words.ends_with(';');
            match &open {
                None if starts && !words.ends_with('}') => open = Some((number, indent, words.to_owned())),
                Some((first, own, name)) if indent == *own && words.starts_with('}') => {
                    let length = number - first + 1;
                    assert!(
                        length <= FUNCTION_LINES_MAX,
                        "{}:{}: {name} has {length} lines",
                        path.display(),
                        first + 1
                    );
                    open = None;
                }
                _ => {}
            }
        }
    }
}

/// Bytes of a client become text for the log in one place, without the secrets in them.
#[test]
fn bytes_from_outside_reach_the_log_redacted() {
    let modules = ["src/api", "src/hub", "src/ops", "src/server", "src/services"];
    forbid(&modules, &["from_utf8_lossy", "escape_ascii"]);
    for (path, text) in modules.into_iter().flat_map(files).filter(|(path, _)| !is_test(path)) {
        let lines: Vec<_> = code(&text).collect();
        for (at, (number, _)) in lines.iter().enumerate().filter(|(_, (_, line))| is_log_event(line)) {
            let rest = lines[at..].iter().map(|(_, line)| *line);
            let event: Vec<_> = rest.take_while(|line| !line.trim_end().ends_with(");")).collect();
            let event = event.concat() + lines.get(at + event.len()).map_or("", |(_, line)| line);
            let fields = ["request.", "query", ".path,", "user_agent =", "frame.event()", "body"];
            let found = fields.iter().find(|field| event.contains(*field) && !event.contains("Redacted::"));
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(found.is_none(), "{place}: {found:?} reaches the log without `Redacted`");
        }
    }
}

fn is_log_event(line: &str) -> bool {
    ["trace!(", "debug!(", "info!(", "warn!(", "error!("].iter().any(|event| line.contains(event))
}

#[test]
fn modules_say_what_they_are_for_and_nothing_is_left_undone() {
    for (path, text) in ["src", "loadtest/src", "fuzz/properties"].into_iter().flat_map(files) {
        assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
        for mark in ["todo!", "unimplemented!", "FIXME", "#[ignore", "allow(clippy"] {
            assert!(!text.contains(mark), "{}: {mark}", path.display());
        }
    }
}

/// A folder directly below `src/` is a module with a `mod.rs`. Below it, the file of a module
/// stands beside its folder: `x.rs` and `x/`. Tests that are not inline are in `x/tests.rs`.
#[test]
fn each_folder_has_the_file_of_its_module_in_one_place() {
    for root in ["src", "loadtest/src"] {
        let files = files(root);
        let has = |path: &Path| files.iter().any(|(file, _)| file == path);
        for (path, text) in &files {
            let folder = path.parent().unwrap_or(Path::new(""));
            let below = folder.strip_prefix(root).map_or(0, |below| below.iter().count());
            let its_file = match below {
                0 => continue,
                1 => folder.join("mod.rs"),
                _ => folder.with_extension("rs"),
            };
            assert!(has(&its_file), "{}: its module is not in {}", path.display(), its_file.display());
            let is_right = below == 1 || !path.ends_with("mod.rs");
            assert!(is_right, "{} should be {}", path.display(), its_file.display());
            assert!(!text.contains("#[path"), "{}: a module in another place", path.display());
        }
    }
}

/// A module opens with what it is for and its invariants, in at most ten lines. A diagram does not
/// count. Two state machines are described with their diagrams; the store lists its promises.
#[test]
fn a_module_header_has_ten_lines_at_most() {
    let exceptions = ["src/http/h1/machine.rs", "src/hub/shard.rs", "src/history/redb.rs"].map(Path::new);
    for (path, text) in files("src").into_iter().chain(files("loadtest/src")) {
        let mut is_diagram = false;
        let header = text.lines().map_while(|line| line.strip_prefix("//!"));
        let lines = header.filter(|line| {
            let is_fence = line.contains("```");
            is_diagram ^= is_fence;
            !is_fence && !is_diagram && !line.is_empty()
        });
        let count = lines.count();
        let is_short = count <= HEADER_LINES_MAX || exceptions.contains(&path.as_path());
        assert!(is_short, "{}: a header of {count} lines", path.display());
    }
}

/// The table "Where to look" leads to a file for each task, and every path on the page exists.
#[test]
fn the_paths_of_the_architecture_page_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the page");
    let folders =
        ["src/", "tests/", "benches/", "fuzz/", "loadtest/", "docs/", "tuning/", "deploy/", "examples/"];
    let paths = |line: &str| -> Vec<String> {
        let quoted = line.split('`').skip(1).step_by(2);
        quoted
            .filter(|text| folders.iter().any(|folder| text.starts_with(folder)))
            .map(str::to_owned)
            .collect()
    };
    for (number, line) in page.lines().enumerate() {
        for path in paths(line) {
            assert!(root.join(&path).exists(), "docs/ARCHITECTURE.md:{}: there is no {path}", number + 1);
        }
    }
    let table = page.split("## Where to look").nth(1).expect("the table");
    let rows: Vec<_> = table.split("\n## ").next().unwrap_or_default().lines().collect();
    let rows: Vec<_> = rows.into_iter().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 35, "the table has {} rows", rows.len());
    for row in rows {
        let count = paths(row).len();
        assert!((1..=2).contains(&count), "a row names one file or two, not {count}: {row}");
    }
}

/// `docs/ARCHITECTURE.md` shows the rule as a table.
#[test]
fn the_architecture_page_shows_the_dependency_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the page");
    let table = page.split("| module | may use |").nth(1).expect("the table");
    let mut shown = HashMap::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with("| ")) {
        let mut cells = row.trim_matches('|').split('|').map(|cell| {
            let quoted = cell.split('`').skip(1).step_by(2);
            quoted.map(str::to_owned).collect::<HashSet<String>>()
        });
        let (modules, used) = (cells.next().expect("modules"), cells.next().expect("what they may use"));
        for module in modules {
            shown.insert(module, used.clone());
        }
    }
    for (module, used) in RULE {
        let expected: HashSet<String> = used.iter().map(ToString::to_string).collect();
        assert_eq!(shown.remove(module), Some(expected), "{module}");
    }
    assert!(shown.is_empty(), "the page knows other modules: {shown:?}");
}
