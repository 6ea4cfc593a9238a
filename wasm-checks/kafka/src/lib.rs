//! Kafka: ApiVersions, which a broker answers before anybody has logged in.
//!
//! "Kafka protocol guide": "Preliminaries" (size, request and response header),
//! "ApiVersions API" (key 18, version 0), "Error Codes".

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

use alloc::collections::BTreeMap;

use probity_check::prelude::*;
use serde::Deserialize;

/// The options of this check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// APIs that the broker must have: the key and a version of it, `{"1": 4}`
    /// for Fetch.
    require: BTreeMap<i16, i16>,
}

/// Bytes of the answer; of 80 APIs it has 500.
const MAX_ANSWER_BYTES: usize = 8 * 1024;
const API_VERSIONS: i16 = 18;
const UNSUPPORTED_VERSION: i16 = 35;
const CLIENT_ID: &str = "probity";

/// One run.
#[derive(Debug)]
pub struct Kafka {
    config: Config,
    reader: Reader,
    /// The broker gives it back.
    correlation: i32,
}

impl Check for Kafka {
    type Config = Config;

    fn describe() -> Description {
        Description::new("kafka", env!("CARGO_PKG_VERSION"))
            .port(9092)
            .phases(&["api_versions"])
            .gauge("apis", &[], "APIs that the broker has.")
    }

    fn open(config: Config, context: &Context) -> Self {
        Self {
            config,
            reader: Reader::new(MAX_ANSWER_BYTES),
            correlation: i32::from_be_bytes(
                *context.seed.to_be_bytes().last_chunk().unwrap_or(&[0; 4]),
            ),
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        let mut request = Vec::new();
        request.extend(API_VERSIONS.to_be_bytes());
        // The version of the request that every broker knows.
        request.extend(0_i16.to_be_bytes());
        request.extend(self.correlation.to_be_bytes());
        request.extend([0, 7]);
        request.extend_from_slice(CLIENT_ID.as_bytes());
        let size = u32::try_from(request.len()).unwrap_or(u32::MAX);
        out.send([&size.to_be_bytes()[..], &request].concat());
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        let size = |header: &[u8]| {
            let size = header
                .first_chunk()
                .map_or(0, |bytes| u32::from_be_bytes(*bytes));
            usize::try_from(size)
                .unwrap_or(usize::MAX)
                .saturating_add(4)
        };
        let Some(answer) = self.reader.frame(4, size)? else {
            return Ok(());
        };
        let mut fields = Fields(&answer[4..]);
        let correlation = fields.number()?;
        if correlation != self.correlation {
            return Err(malformed("an answer to another request"));
        }
        match fields.short()? {
            0 => {}
            UNSUPPORTED_VERSION => return Err(unexpected("ApiVersions version 0 is not known")),
            code => return Err(server_error(format!("error {code}"))),
        }
        let apis = fields.apis()?;
        out.mark("api_versions");
        out.sample("apis", apis.len() as f64, &[]);
        for (key, version) in &self.config.require {
            match apis.get(key) {
                None => return Err(unexpected(format!("API {key} is missing"))),
                Some((least, most)) if !(least..=most).contains(&version) => {
                    let found = format!("{least} to {most}");
                    return Err(unexpected(format!(
                        "API {key}: expected version {version}, found {found}"
                    )));
                }
                Some(_) => {}
            }
        }
        out.up();
        Ok(())
    }
}

/// Numbers of an answer, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Finding> {
        let Some((bytes, rest)) = self.0.split_first_chunk() else {
            return Err(malformed("an answer that is cut off"));
        };
        self.0 = rest;
        Ok(*bytes)
    }

    fn short(&mut self) -> Result<i16, Finding> {
        self.bytes().map(i16::from_be_bytes)
    }

    fn number(&mut self) -> Result<i32, Finding> {
        self.bytes().map(i32::from_be_bytes)
    }

    /// An array of keys with the least and the greatest version of each.
    fn apis(&mut self) -> Result<BTreeMap<i16, (i16, i16)>, Finding> {
        let length = self.number()?;
        let length = u32::try_from(length).map_err(|_| malformed("no array of APIs"))?;
        let mut apis = BTreeMap::new();
        for _ in 0..length {
            let key = self.short()?;
            apis.insert(key, (self.short()?, self.short()?));
        }
        Ok(apis)
    }
}

probity_check::export!(Kafka);

#[cfg(test)]
mod tests {
    use probity_check::testing::replay;

    use super::*;

    #[test]
    fn transcript() {
        replay::<Kafka>(include_str!("../transcript.txt"));
    }
}
