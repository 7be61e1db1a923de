//! The settings as flags and environment variables, not yet parsed.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::error::UnknownSetting;
use super::setting::{Declared, ValueKind};
use super::settings;
use super::texts::{SettingSource, Texts};

/// The text of every setting that is given. [`super::Config::read`] parses them all and lists every
/// error at once. It holds secrets, so it is not `Debug`.
///
/// As arguments of a command ([`Args`]), every setting of this version is a flag and an environment
/// variable, with its help.
#[derive(Clone, Default)]
pub struct Options {
    pub(super) texts: Texts,
}

impl Options {
    /// Sets a setting, as its flag does: the name of its variable, such as `HEARTBEAT_INTERVAL`,
    /// and a value as the variable would have it. An empty value counts as not given.
    ///
    /// # Errors
    /// There is no such setting.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), UnknownSetting> {
        let setting = settings::find(name).ok_or_else(|| UnknownSetting(name.to_owned()))?;
        self.texts.set(setting.name(), text, SettingSource::Flag);
        Ok(())
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let arguments = settings::GROUPS.iter().flat_map(|group| {
            group.settings.iter().map(|setting| argument(*setting).help_heading(group.heading))
        });
        command.args(arguments)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in settings::all() {
            let name = setting.name();
            let Some(text) = matches.get_one::<String>(name) else { continue };
            let source = match matches.value_source(name) {
                Some(ValueSource::EnvVariable) => SettingSource::Environment,
                _ => SettingSource::Flag,
            };
            self.texts.set(name, text, source);
        }
        Ok(())
    }
}

fn argument(setting: &'static dyn Declared) -> Arg {
    let argument = Arg::new(setting.name())
        .long(setting.flag())
        .env(setting.name())
        .hide_env_values(setting.kind().may_hold_secret())
        .value_name(setting.kind().value_name())
        .action(ArgAction::Set)
        .help(format!("{} [default: {}]", setting.help(), setting.default().text()));
    match setting.kind() {
        ValueKind::Switch => argument.num_args(0..=1).default_missing_value("1"),
        ValueKind::Key | ValueKind::Url | ValueKind::Public(_) => argument,
    }
}
