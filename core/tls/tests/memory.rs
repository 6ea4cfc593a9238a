//! What a connection holds while it waits: counted by the allocator, so that
//! a buffer that is kept by mistake shows up.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use probity_tls::{ClientConfig, DefaultTimeProvider, Event, Layer, TlsOptions};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged; the
// counter is a plain thread-local cell, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Heap and inline bytes that are gone when `layer` is.
fn footprint(layer: Layer) -> usize {
    let inline = size_of_val(&layer);
    let before = HELD.get();
    drop(layer);
    inline + usize::try_from(before - HELD.get()).expect("dropping frees")
}

fn connected() -> (Layer, ServerConnection) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["example.test".into()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a server's certificate");
    let mut server = ServerConnection::new(Arc::new(config)).expect("a server");
    let options = TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    };
    let config = ClientConfig::new(&options, Arc::new(DefaultTimeProvider)).expect("options");
    let mut layer = Layer::new(&config, "example.test").expect("a layer");
    let mut out = Vec::new();
    layer.start(&mut out).expect("a hello");
    for _ in 0..4 {
        let mut rest = &out[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets().expect("a handshake");
        }
        out.clear();
        let mut back = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut back).expect("memory");
        }
        layer.receive(&mut back, &mut out, |_| ()).expect("TLS");
    }
    assert!(!server.is_handshaking());
    (layer, server)
}

#[test]
fn an_idle_connection_holds_a_few_kibibytes() {
    let (layer, _server) = connected();
    let held = footprint(layer);
    assert!(held < 8 * 1024, "{held} bytes");
}

/// Half a record waits, then the rest comes: its buffer must go again.
#[test]
fn a_buffer_for_half_a_record_does_not_stay() {
    use std::io::Write;

    let (mut layer, mut server) = connected();
    server.writer().write_all(&[7; 16_000]).expect("memory");
    let mut record = Vec::new();
    server.write_tls(&mut record).expect("memory");
    let (first, second) = record.split_at_mut(15_000);
    let (mut out, mut got) = (Vec::new(), 0);
    let mut count = |event: Event<'_>| {
        if let Event::Data(bytes) = event {
            got += bytes.len();
        }
    };
    layer.receive(first, &mut out, &mut count).expect("TLS");
    layer.receive(second, &mut out, &mut count).expect("TLS");
    assert_eq!(got, 16_000);
    let held = footprint(layer);
    assert!(held < 8 * 1024, "{held} bytes");
}
