//! The usable parts of a head that cannot be read, for its refusal.
//!
//! The lines are read leniently, which is harmless only here: the origin decides only whether a
//! page may read the text of the refusal (it is compared with the configuration, never echoed), and
//! the method only whether that text is sent. The request is never carried out.

/// The recovered parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveredHead<'a> {
    /// The method is `HEAD`: its response has no body.
    pub is_head: bool,
    /// `Origin`, if exactly one line holds it.
    pub origin: Option<&'a [u8]>,
}

/// Reads `head`, of which the first `sound_bytes` are complete lines.
pub(crate) fn recover_head(head: &[u8], sound_bytes: usize) -> RecoveredHead<'_> {
    let mut origins =
        head[..sound_bytes.min(head.len())].split(|&byte| byte == b'\n').skip(1).filter_map(origin);
    let origin = match (origins.next(), origins.next()) {
        (Some(origin), None) => Some(origin),
        _ => None,
    };
    RecoveredHead { is_head: head.starts_with(b"HEAD "), origin }
}

fn origin(line: &[u8]) -> Option<&[u8]> {
    let (name, value) = line.split_at_checked(b"origin:".len())?;
    name.eq_ignore_ascii_case(b"origin:").then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_is_found_and_two_are_none() {
        let of = |head: &'static [u8]| recover_head(head, head.len());
        let found = |origin| RecoveredHead { is_head: false, origin };
        assert_eq!(of(b"GET / HTTP/1.1\r\nX: y\r\nORIGIN:  a \r\n\r\n"), found(Some(b"a")));
        assert_eq!(of(b"GET / HTTP/1.1\r\nOrigin: a\r\nOrigin: a\r\n\r\n"), found(None));
        assert_eq!(of(b"Origin: a\r\nOrig\r\n\r\n"), found(None), "the request line is no field");
        assert!(of(b"HEAD / HTTP/1.1\r\n\r\n").is_head);
        assert_eq!(of(b""), found(None));
    }

    #[test]
    fn what_is_not_a_complete_line_is_not_believed() {
        let head = b"GET / HTTP/1.1\r\nOrigin: https://a.example";
        assert_eq!(recover_head(head, 16).origin, None);
    }
}
