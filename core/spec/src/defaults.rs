//! The modules that are there when no file says otherwise.

/// What an exporter without a configuration file runs on: blackbox_exporter's
/// usual modules, as far as this version has their probers, and one that
/// completes a TLS handshake. No jobs.
pub const DEFAULT: &str = "\
modules:
  http_2xx:
    prober: http
  http_post_2xx:
    prober: http
    http:
      method: POST
  tcp_connect:
    prober: tcp
  tls_connect:
    prober: tcp
    tcp:
      tls: true
";

#[cfg(test)]
mod tests {
    use probity_engine::config::NoFiles;

    use crate::File;

    #[test]
    fn the_default_is_a_valid_file_without_jobs() {
        let file = File::parse("default", super::DEFAULT, &NoFiles).unwrap();
        let names: Vec<&str> = file.modules().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["http_2xx", "http_post_2xx", "tcp_connect", "tls_connect"]
        );
        assert!(file.jobs().is_empty());
    }
}
