//! Exposition: what a scrape is answered with.
//!
//! The exporter's own metrics live in a `prometheus_client` registry. Per-target
//! series do not: at 20 series for each of 50,000 targets a registry would copy
//! label strings a million times per scrape and hold a hash map per family. The
//! streaming [`Encoder`] writes them family by family, straight from label
//! bytes rendered once per target ([`LabelSet`]) and values in columns, in any
//! of three [`Format`]s.
//!
//! ```
//! use probity::exposition::{Body, Encoder, Kind, LabelSet, format};
//!
//! # fn main() -> std::io::Result<()> {
//! let format = format::negotiate(Some("*/*"), format::Format::ALL);
//! let coding = format::negotiate_encoding(None);
//! let web = LabelSet::new([("job", "web"), ("instance", "a:80")], &["result"]).unwrap();
//!
//! let mut encoder = Encoder::new(format, Body::new(coding, Vec::new()));
//! let mut family = encoder.family("probe_success", "Whether it worked", Kind::Gauge)?;
//! family.sample(&web, &[], 1.0)?;
//! let mut family = encoder.family("probity_results_total", "Results", Kind::Counter)?;
//! family.sample(&web, &[("result", "success")], 7.0)?;
//! let body = encoder.finish()?.finish()?;
//!
//! assert_eq!(
//!     String::from_utf8(body).unwrap(),
//!     r#"# HELP probe_success Whether it worked
//! ## TYPE probe_success gauge
//! probe_success{instance="a:80",job="web"} 1
//! ## HELP probity_results_total Results
//! ## TYPE probity_results_total counter
//! probity_results_total{instance="a:80",job="web",result="success"} 7
//! "#
//! );
//! # Ok(())
//! # }
//! ```

pub mod body;
pub mod encoder;
pub mod format;
pub mod histogram;
pub mod labels;
pub mod number;
mod proto;
pub mod registry;
mod text;

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;

pub use body::{Body, Chunks};
pub use encoder::{Encoder, Family, Histograms, Kind};
pub use format::{Encoding, Format};
pub use histogram::{Histogram, Native, NativeBuckets, Spans};
pub use labels::LabelSet;
