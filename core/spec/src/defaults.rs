//! The modules that are there when no file says otherwise.

/// What an exporter without a configuration file runs on: blackbox_exporter's
/// usual modules, as far as this version has their probers, one that completes
/// a TLS handshake, and dialogues with servers that greet. No jobs.
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
  ssh_banner:
    prober: tcp
    tcp:
      query_response:
      - expect: ^SSH-2\\.0-
        send: SSH-2.0-probity
  ssh_banner_extract:
    prober: tcp
    timeout: 5s
    tcp:
      query_response:
      - expect: '^SSH-2\\.0-([^ ]+)(?: (.*))?$'
        labels:
        - {name: ssh_version, value: $1}
        - {name: ssh_comments, value: $2}
  smtp_starttls:
    prober: tcp
    timeout: 5s
    tcp:
      query_response:
      - {expect: '^220 ', send: \"EHLO prober\\r\"}
      - {expect: '^250[ -]STARTTLS', send: \"STARTTLS\\r\"}
      - {expect: '^220 ', starttls: true}
      - send: \"EHLO prober\\r\"
      - {expect: '^250 ', send: \"QUIT\\r\"}
  imap_starttls:
    prober: tcp
    timeout: 5s
    tcp:
      query_response:
      - {expect: '^\\* OK', send: \". STARTTLS\\r\"}
      - {expect: '^\\. OK', starttls: true}
      - send: \". CAPABILITY\\r\"
      - {expect: '^\\. OK', send: \". LOGOUT\\r\"}
  pop3s_banner:
    prober: tcp
    tcp:
      tls: true
      query_response:
      - expect: ^\\+OK
  irc_banner:
    prober: tcp
    tcp:
      query_response:
      - send: NICK prober
      - send: USER prober prober prober :prober
      - {expect: '^PING :([^ ]+)', send: 'PONG $1'}
      - expect: '^:[^ ]+ 001 '
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
            [
                "http_2xx",
                "http_post_2xx",
                "imap_starttls",
                "irc_banner",
                "pop3s_banner",
                "smtp_starttls",
                "ssh_banner",
                "ssh_banner_extract",
                "tcp_connect",
                "tls_connect"
            ]
        );
        assert!(file.jobs().is_empty());
    }
}
