//! Errors in the settings. No text contains a secret.

/// One error in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}{} expected {expected}", found(.value.as_deref()))]
pub struct ConfigError {
    /// The name of the variable.
    pub name: &'static str,
    /// Its value; `None` if it may be a secret.
    pub value: Option<String>,
    /// The expected form.
    pub expected: String,
}

/// No setting has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no setting")]
pub struct UnknownSetting(pub String);

fn found(value: Option<&str>) -> String {
    value.map_or_else(|| ":".to_owned(), |value| format!(" is {value:?};"))
}
