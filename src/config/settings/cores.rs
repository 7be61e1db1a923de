//! The settings under "Cores".

use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::values;
use crate::config::written;

/// The settings under this heading.
pub(crate) static GROUP: Group = Group { heading: "Cores", settings: &[&SHARDS, &CPUS] };

pub(crate) static SHARDS: Setting<usize> = Setting {
    name: "SHARDS",
    kind: ValueKind::Public("COUNT"),
    help: "Number of shards. Each runs on one core; they use the first cores of CPUS",
    default: DefaultText::Description("one for each core"),
    parse: |text, cores| values::count(text, 1, cores.len()),
    in_force: |config, _| Some(config.settings.cpus.len().to_string()),
};

pub(crate) static CPUS: Setting<Vec<usize>> = Setting {
    name: "CPUS",
    kind: ValueKind::Public("LIST"),
    help: "Cores to use, such as `0,2-3`",
    default: DefaultText::Description("those the process may run on"),
    parse: values::cpus,
    in_force: |config, _| Some(written::list(&config.settings.cpus)),
};
