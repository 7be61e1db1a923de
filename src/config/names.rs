//! Names of settings that were misspelled.

use clap::Args as _;

use super::Options;

/// One warning for each variable that looks like a misspelled setting.
pub(super) fn misspelled(environment: &[(String, String)]) -> Vec<String> {
    /// A shorter name is near too many others, and of two mistakes in a name only a long one is left recognizable:
    /// DB_PASS is not a DB_PATH.
    const LENGTH_MIN: usize = 6;
    const LENGTH_FOR_TWO: usize = 10;
    let command = Options::augment_args(clap::Command::new("petasos"));
    let ours: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let nearest = |name: &str| {
        let distances = ours.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
        distances.min().map(|(distance, known)| (distance, known.clone()))
    };
    let mut warnings = Vec::new();
    for (name, _) in environment.iter().filter(|(name, _)| !ours.contains(name)) {
        let prefixed = name.strip_prefix("MERCURE_");
        let Some((distance, known)) = nearest(prefixed.unwrap_or(name)) else { continue };
        let length = name.len().min(known.len());
        let is_near = length >= LENGTH_MIN && distance <= if length < LENGTH_FOR_TWO { 1 } else { 2 };
        if prefixed.is_some() || is_near {
            warnings.push(format!("unknown variable {name}; did you mean {known}?"));
        }
    }
    warnings
}
