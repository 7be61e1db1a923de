//! The settings that a hub is started with.

use std::path::{Path, PathBuf};

use crate::options::Common;

/// The `DB_PATH` of a history in memory.
const IN_MEMORY: &str = ":memory:";

/// What a hub that is started needs for a scenario.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HubNeeds {
    /// The `HISTORY_SYNC` of a history in a file; `None`: the history is in memory.
    pub(crate) history_sync: Option<&'static str>,
    /// The history is in memory, whatever the command line says.
    pub(crate) in_memory: bool,
    /// Further settings.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Whether it serves metrics.
    pub(crate) metrics: bool,
}

/// A setting of the command line that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}: expected NAME=VALUE")]
pub(crate) struct SettingError(String);

/// The environment variables that a hub is started with, except for its address and its
/// certificate. `history`: the folder of a history in a file, and its `HISTORY_SYNC`.
pub(crate) fn hub_settings(
    common: &Common,
    history: Option<(PathBuf, &str)>,
    needs: &HubNeeds,
) -> Result<Vec<(String, String)>, SettingError> {
    let mut settings = vec![
        ("DEMO".to_owned(), "1".to_owned()),
        ("SHARDS".to_owned(), "1".to_owned()),
        ("CPUS".to_owned(), common.server_cpu.to_string()),
        ("LOG_LEVEL".to_owned(), "error".to_owned()),
    ];
    match history {
        None => settings.push(("DB_PATH".to_owned(), IN_MEMORY.to_owned())),
        Some((folder, sync)) => {
            settings.push(("DB_PATH".to_owned(), folder.join("updates.db").display().to_string()));
            settings.push(("HISTORY_SYNC".to_owned(), sync.to_owned()));
        }
    }
    settings.extend(needs.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    for pair in &common.server_env {
        let (name, value) = pair.split_once('=').ok_or_else(|| SettingError(pair.clone()))?;
        settings.retain(|(own, _)| own != name);
        settings.push((name.to_owned(), value.to_owned()));
    }
    if needs.in_memory {
        settings.retain(|(name, _)| name != "DB_PATH" && name != "HISTORY_SYNC");
        settings.push(("DB_PATH".to_owned(), IN_MEMORY.to_owned()));
    }
    Ok(settings)
}

/// The folder that holds the history of a hub with these settings. The history is a file or a
/// folder in it, in which other files have no place.
pub(crate) fn folder_of_history(settings: &[(String, String)]) -> Option<PathBuf> {
    let (_, path) = settings.iter().find(|(name, _)| name == "DB_PATH")?;
    let parent = Path::new(path).parent().filter(|_| path != IN_MEMORY)?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_history_is_known_and_a_hub_in_memory_has_none() {
        let folder = |arguments: &[&str], in_memory| {
            let needs = HubNeeds { in_memory, ..HubNeeds::default() };
            let common = Common::given(arguments);
            let history = Some(("/var/tmp/run".into(), "always"));
            folder_of_history(&hub_settings(&common, history, &needs).expect("valid"))
        };
        assert_eq!(folder(&[], false), Some("/var/tmp/run".into()));
        assert_eq!(folder(&["--server-env", "DB_PATH=/srv/hub/history"], false), Some("/srv/hub".into()));
        assert_eq!(folder(&["--server-env", "DB_PATH=updates.db"], false), Some(".".into()));
        assert_eq!(folder(&["--server-env", "DB_PATH=:memory:"], false), None);
        assert_eq!(folder(&["--server-env", "DB_PATH=/srv/hub/history"], true), None);
    }

    #[test]
    fn a_setting_without_a_value_is_refused() {
        let common = Common::given(&["--server-env", "SHARDS"]);
        assert!(hub_settings(&common, None, &HubNeeds::default()).is_err());
    }
}
