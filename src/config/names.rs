//! Misspelled names of settings.

use super::settings;

/// One warning for each variable that looks like a misspelled setting, or like one of the reference
/// hub.
pub fn misspelled(environment: &[(String, String)]) -> Vec<String> {
    /// A shorter name is too close to many others, and only a long name is recognizable with two
    /// mistakes: DB_PASS is not a DB_PATH.
    const LENGTH_MIN: usize = 6;
    const LENGTH_FOR_TWO: usize = 10;
    let ours: Vec<_> = settings::all().map(super::setting::Declared::name).collect();
    let nearest = |name: &str| {
        let distances = ours.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known));
        distances.min()
    };
    let mut warnings = Vec::new();
    for (name, _) in environment.iter().filter(|(name, _)| !ours.contains(&name.as_str())) {
        if let Some(rest) = name.strip_prefix("MERCURE_") {
            warnings.push(of_another_hub(name, rest, &ours));
            continue;
        }
        let Some((distance, known)) = nearest(name) else { continue };
        let length = name.len().min(known.len());
        if length >= LENGTH_MIN && distance <= if length < LENGTH_FOR_TWO { 1 } else { 2 } {
            warnings.push(format!("unknown variable {name}; did you mean {known}?"));
        }
    }
    warnings
}

/// The warning for a variable of the reference hub; `rest` follows the prefix. Some settings of
/// this hub have the same name without the prefix, or with a longer ending; issuers are trusted
/// there, too, in `TRUSTED_ISSUERS`.
fn of_another_hub(name: &str, rest: &str, ours: &[&str]) -> String {
    let rest = rest.trim_start_matches("TRUSTED_");
    let same = ours.iter().filter(|known| !rest.is_empty() && known.starts_with(rest));
    match same.min_by_key(|known| known.len()) {
        Some(known) => format!("unknown variable {name}; did you mean {known}?"),
        None => format!("unknown variable {name}: it is of another hub, and does nothing here"),
    }
}
