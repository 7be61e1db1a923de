//! HPACK (RFC 7541) for a client that keeps no dynamic table and has told the server so.
//!
//! It sends literals without Huffman coding. It reads everything that a server may then send. An
//! index into the dynamic table is an error, as is everything else that the coding does not allow.

use super::huffman;

/// A dynamic table size update to 0: the sender keeps no table (section 6.3). It opens the first
/// block of a connection.
pub(crate) const NO_TABLE: u8 = 0x20;
/// The longest string that is accepted, in bytes.
const STRING_BYTES_MAX: usize = 64 << 10;

/// The static table (appendix A).
const STATIC: &str = ":authority;:method GET;:method POST;:path /;:path /index.html;:scheme http;:scheme https;:status 200;\
    :status 204;:status 206;:status 304;:status 400;:status 404;:status 500;accept-charset;accept-encoding gzip, deflate;\
    accept-language;accept-ranges;accept;access-control-allow-origin;age;allow;authorization;cache-control;\
    content-disposition;content-encoding;content-language;content-length;content-location;content-range;content-type;\
    cookie;date;etag;expect;expires;from;host;if-match;if-modified-since;if-none-match;if-range;if-unmodified-since;\
    last-modified;link;location;max-forwards;proxy-authenticate;proxy-authorization;range;referer;refresh;retry-after;\
    server;set-cookie;strict-transport-security;transfer-encoding;user-agent;vary;via;www-authenticate";

/// A block that the coding does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBlock;

/// A field: its name and its value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// Appends a field; its name in lower case.
pub(crate) fn encode(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    // A literal without indexing, with a literal name (section 6.2.2).
    out.push(0);
    for string in [name, value] {
        encode_integer(string.len(), out);
        out.extend_from_slice(string);
    }
}

/// An integer with a prefix of seven bits, all of whose flags are 0 (section 5.1).
fn encode_integer(value: usize, out: &mut Vec<u8>) {
    const PREFIX_MAX: usize = 0x7f;
    if value < PREFIX_MAX {
        out.push(value as u8);
        return;
    }
    out.push(PREFIX_MAX as u8);
    let mut rest = value - PREFIX_MAX;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The fields of a block.
pub(crate) fn decode(block: &[u8]) -> Result<Vec<Field>, BadBlock> {
    let mut fields = Vec::new();
    let mut input = block;
    while let Some(&first) = input.first() {
        match first {
            0x80.. => {
                fields.push(entry(integer(&mut input, 7)?)?);
            }
            0x20..0x40 => {
                if integer(&mut input, 5)? != 0 || !fields.is_empty() {
                    return Err(BadBlock);
                }
            }
            // With indexing, without indexing, or never indexed: nothing is stored in any case.
            _ => {
                let prefix = if first & 0x40 == 0 { 4 } else { 6 };
                let name = match integer(&mut input, prefix)? {
                    0 => string(&mut input)?,
                    index => entry(index)?.0,
                };
                fields.push((name, string(&mut input)?));
            }
        }
    }
    Ok(fields)
}

/// An entry of the static table; most values there are empty.
fn entry(index: usize) -> Result<Field, BadBlock> {
    let text = index.checked_sub(1).and_then(|at| STATIC.split(';').nth(at)).ok_or(BadBlock)?;
    let (name, value) = text.split_once(' ').unwrap_or((text, ""));
    Ok((name.into(), value.into()))
}

/// An integer with a prefix of `bits` bits (section 5.1).
fn integer(input: &mut &[u8], bits: u32) -> Result<usize, BadBlock> {
    let mut next = || {
        let (&byte, rest) = input.split_first().ok_or(BadBlock)?;
        *input = rest;
        Ok(usize::from(byte))
    };
    let most = (1 << bits) - 1;
    let mut value = next()? & most;
    if value < most {
        return Ok(value);
    }
    for shift in (0..=21).step_by(7) {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BadBlock)
}

/// A string, plain or Huffman-coded (section 5.2).
fn string(input: &mut &[u8]) -> Result<Vec<u8>, BadBlock> {
    let is_coded = input.first().is_some_and(|byte| byte & 0x80 != 0);
    let bytes = integer(input, 7)?;
    if bytes > STRING_BYTES_MAX {
        return Err(BadBlock);
    }
    let (text, rest) = input.split_at_checked(bytes).ok_or(BadBlock)?;
    *input = rest;
    if is_coded { huffman::decode(text).ok_or(BadBlock) } else { Ok(text.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[(&str, &str)]) -> Vec<Field> {
        of.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn reads_back_what_it_wrote_at_any_length() {
        let long = ["x".repeat(126), "x".repeat(127), "x".repeat(254), "x".repeat(60_000)];
        let expected = fields(&[(":path", &long[0]), ("a", &long[1]), (&long[2], ""), ("b", &long[3])]);
        let mut block = vec![NO_TABLE];
        for (name, value) in &expected {
            encode(name, value, &mut block);
        }
        assert_eq!(decode(&block), Ok(expected));
    }

    /// RFC 7541, appendix C.6.1, whose four fields are literals with indexing.
    #[test]
    fn reads_a_head_as_servers_write_it() {
        let block = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\
            \x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\
            \x82\xae\x43\xd3";
        let expected = [
            (":status", "302"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ];
        assert_eq!(decode(block), Ok(fields(&expected)));
        assert_eq!(decode(b"\x88\x3d\xbd"), Err(BadBlock), "a size update is no field");
    }

    #[test]
    fn knows_the_static_table_to_its_end_and_nothing_behind_it() {
        assert_eq!(
            decode(b"\x88\x90\xbd"),
            Ok(fields(&[(":status", "200"), ("accept-encoding", "gzip, deflate"), ("www-authenticate", "")]))
        );
        for block in [
            &b"\xbe"[..],
            b"\x80",
            b"\x7f\x00\x01a",
            b"\x88\x20",
            b"\x21",
            b"\x40",
            b"\x00\x01a\x05b",
            b"\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(decode(block), Err(BadBlock), "{block:?}");
        }
    }
}
