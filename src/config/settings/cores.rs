//! The settings under "Cores".

use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::values;
use crate::config::written;
use crate::io::IoMode;

/// The settings under this heading.
pub(crate) static GROUP: Group = Group { heading: "Cores", settings: &[&SHARDS, &CPUS, &IO] };

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

pub(crate) static IO: Setting<IoMode> = Setting {
    name: "IO",
    kind: ValueKind::Public("MODE"),
    help: "How a shard waits for its sockets and writes to them. `uring`: an io_uring sends to many \
           subscribers in one system call; it needs Linux 6.1 and a container that allows io_uring. \
           `epoll`: a system call for each; it runs everywhere. `auto`: `uring` where it is possible",
    default: DefaultText::Value("auto"),
    parse: |text, _| values::word(&IO_MODES, text),
    in_force: |config, _| written::word(&IO_MODES, &config.settings.io),
};

const IO_MODES: [(&str, IoMode); 3] =
    [("auto", IoMode::Auto), ("uring", IoMode::Uring), ("epoll", IoMode::Epoll)];
