//! The tables that indices refer to: RFC 7541 section 2.3 and appendix A.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Name and value.
type Field = (&'static str, &'static str);

/// The static table: index 1 is the first.
#[rustfmt::skip]
pub(super) const STATIC: [Field; 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""),
    ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""),
    ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// What a field counts for beyond its text (RFC 7541 section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// The dynamic table of a decoder.
#[derive(Debug)]
pub(super) struct Dynamic {
    /// Names and values, the oldest field first.
    bytes: Vec<u8>,
    /// Lengths of name and value, the newest field first.
    fields: VecDeque<(usize, usize)>,
    /// Bytes with the overhead.
    size: usize,
    /// Largest `size`, as the encoder chose it.
    capacity: usize,
}

impl Dynamic {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::new(),
            fields: VecDeque::new(),
            size: 0,
            capacity,
        }
    }

    /// Changes the capacity; the oldest fields may have to go.
    pub(super) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict(0);
    }

    /// Adds a field. One that is larger than the table empties it (section
    /// 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.evict(size);
        if size <= self.capacity {
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(value);
            self.fields.push_front((name.len(), value.len()));
            self.size += size;
        }
    }

    /// Name and value of a field; 0 is the newest.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let (name, value) = *self.fields.get(index)?;
        let newer = self.fields.range(..index);
        let newer: usize = newer.map(|(name, value)| name + value).sum();
        let end = self.bytes.len() - newer;
        Some(self.bytes[end - name - value..end].split_at(name))
    }

    /// Makes room for `size` more.
    fn evict(&mut self, size: usize) {
        let mut gone = 0;
        while self.size + size > self.capacity
            && let Some((name, value)) = self.fields.pop_back()
        {
            gone += name + value;
            self.size -= name + value + OVERHEAD;
        }
        self.bytes.drain(..gone);
    }
}
