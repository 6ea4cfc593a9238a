//! Proxies: they reach only what listens on loopback, whatever they are asked
//! for; a name that they do not know is 127.0.0.1.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

/// A client of a proxy.
pub(crate) trait Client: Read + Write {
    /// The connection.
    fn plain(&self) -> io::Result<TcpStream>;
    /// Keeps what the proxy was told.
    fn record(&self, bytes: &[u8]);
}

fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_matches(['[', ']']);
    let address = match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => address,
        // Which is loopback too, for whoever dials it.
        Ok(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Ok(_) => return Err(io::Error::other("only loopback is reached")),
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    TcpStream::connect(SocketAddr::new(address, port))
}

/// An HTTP proxy that was sent this head: a tunnel for CONNECT, else one
/// request that is passed on as it is.
pub(crate) fn http(head: &[u8], client: &mut impl Client) -> io::Result<()> {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut words = text.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let is_tunnel = method == "CONNECT";
    let authority = target
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(0)),
        None => (authority, 80),
    };
    let Ok(mut server) = reach(host, port) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    };
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 Established\r\n\r\n")?;
    } else {
        let path = target.splitn(4, '/').nth(3).unwrap_or_default();
        server.write_all(text.replacen(target, &format!("/{path}"), 1).as_bytes())?;
    }
    join(client.plain()?, server)
}

/// A SOCKS 5 proxy, as RFC 1928 and RFC 1929 say.
pub(crate) fn socks(client: &mut impl Client, credentials: Option<(&str, &str)>) -> io::Result<()> {
    let mut take = |count: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        client.read_exact(&mut bytes)?;
        client.record(&bytes);
        Ok(bytes)
    };
    let greeting = take(2)?;
    take(greeting[1].into())?;
    let method = if credentials.is_some() { 2 } else { 0 };
    client.write_all(&[5, method])?;
    if let Some((user, password)) = credentials {
        let mut field = |skip: usize| -> io::Result<Vec<u8>> {
            let mut head = vec![0; skip + 1];
            client.read_exact(&mut head)?;
            client.record(&head);
            let mut text = vec![0; head[skip].into()];
            client.read_exact(&mut text)?;
            client.record(&text);
            Ok(text)
        };
        let right = field(1)? == user.as_bytes() && field(0)? == password.as_bytes();
        client.write_all(&[1, u8::from(!right)])?;
        if !right {
            return Ok(());
        }
    }
    let mut take = |count: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        client.read_exact(&mut bytes)?;
        client.record(&bytes);
        Ok(bytes)
    };
    let kind = take(4)?[3];
    let host = match kind {
        1 => {
            let bytes: [u8; 4] = take(4)?.try_into().unwrap_or_default();
            Ipv4Addr::from(bytes).to_string()
        }
        4 => {
            let bytes: [u8; 16] = take(16)?.try_into().unwrap_or_default();
            std::net::Ipv6Addr::from(bytes).to_string()
        }
        _ => {
            let length = take(1)?[0];
            String::from_utf8_lossy(&take(length.into())?).into_owned()
        }
    };
    let port = take(2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    let Ok(server) = reach(&host, port) else {
        return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    join(client.plain()?, server)
}

/// Copies both ways until both have ended.
fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(std::net::Shutdown::Write);
    let _ = up.join();
    Ok(())
}
