//! Pages that are part of this program, compressed once for each coding.

use std::sync::OnceLock;

use crate::http::accept_encoding::Negotiated;
use crate::protocol::coding::Coding;

/// One page, in a static.
pub struct Page {
    html: &'static str,
    gzip: OnceLock<Box<[u8]>>,
    zstd: OnceLock<Box<[u8]>>,
}

impl Page {
    /// A page of this text.
    pub const fn new(html: &'static str) -> Self {
        Self { html, gzip: OnceLock::new(), zstd: OnceLock::new() }
    }

    /// The page in the coding that was negotiated.
    pub fn body(&'static self, negotiated: Negotiated) -> &'static [u8] {
        let Some(coding) = negotiated.coding else { return self.html.as_bytes() };
        let place = match coding {
            Coding::Gzip => &self.gzip,
            Coding::Zstd => &self.zstd,
        };
        place.get_or_init(|| coding.encode(self.html.as_bytes()).into())
    }
}
