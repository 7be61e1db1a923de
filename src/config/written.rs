//! Values in the forms in which they are given: the opposite of `values`.

use std::path::Path;
use std::time::Duration;

use crate::mercure::dialect::{Dialect, Dialects};

pub(crate) fn switch(is_on: bool) -> String {
    u8::from(is_on).to_string()
}

pub(crate) fn duration(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

/// In the largest unit of which it is a multiple.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn list(numbers: &[usize]) -> String {
    let numbers: Vec<_> = numbers.iter().map(usize::to_string).collect();
    numbers.join(",")
}

/// The word for a value; `None` if there is none.
pub(crate) fn word<T: PartialEq>(words: &[(&str, T)], value: &T) -> Option<String> {
    words.iter().find(|(_, known)| known == value).map(|(word, _)| (*word).to_owned())
}

/// The list of dialects.
pub(crate) fn dialects(dialects: Dialects) -> String {
    let all = [Dialect::Draft04, Dialect::Draft07, Dialect::Draft08].into_iter();
    let spoken: Vec<_> = all.filter(|dialect| dialects.has(*dialect)).map(Dialect::as_str).collect();
    spoken.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_a_unit_that_holds_them_exactly() {
        for (bytes, text) in
            [(0, "0"), (1, "1"), (1 << 20, "1MiB"), (1_500 << 10, "1500KiB"), (3 << 30, "3GiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
