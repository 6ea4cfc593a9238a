//! Which clients a server lets in, and why not the others.

use std::sync::Arc;

use probity_engine::tls::ClientIdentity;
use probity_tls::{Clients, TlsOptions};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, SigningKey as _,
};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier as _;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, Error, SignatureScheme};
use x509_parser::asn1_rs::{Any, FromDer as _};

use crate::common::{
    Ca, Server, ca_params, der, handshake, key, leaf_params, params, root, trusting,
};

/// Who asks to be let in.
struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Client {
    fn issued(params: &CertificateParams, ca: &Ca) -> Self {
        let key = key();
        let chain = vec![der(&params.signed_by(&key, ca).expect("a certificate"))];
        Self { chain, key }
    }

    fn itself(params: &CertificateParams) -> Self {
        let key = key();
        let chain = vec![der(&params.self_signed(&key).expect("a certificate"))];
        Self { chain, key }
    }

    /// The same with a certificate of version 1, as `openssl x509 -req` makes them.
    fn of_version_1(mut self, issuer: &KeyPair) -> Self {
        self.chain[0] = version_1(&self.chain[0], issuer);
        self
    }
}

fn elements(mut content: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !content.is_empty() {
        let (rest, _) = Any::from_der(content).expect("DER");
        all.push(&content[..content.len() - rest.len()]);
        content = rest;
    }
    all
}

fn inner(der: &[u8]) -> Vec<&[u8]> {
    elements(Any::from_der(der).expect("DER").1.data)
}

fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short one");
    let head = match length.to_be_bytes() {
        [0, short @ ..0x80] => vec![tag, short],
        [0, byte] => vec![tag, 0x81, byte],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

/// `cert` without its version and its extensions.
fn version_1(cert: &[u8], issuer: &KeyPair) -> CertificateDer<'static> {
    let [signed, algorithm, _] = inner(cert)[..] else {
        panic!("three parts");
    };
    let signed = wrapped(0x30, &inner(signed)[1..7].concat());
    let signature = issuer.sign(&signed).expect("a signature");
    let signature = wrapped(3, &[&[0], &*signature].concat());
    wrapped(0x30, &[&signed, algorithm, &signature].concat()).into()
}

fn pem(der: &[u8]) -> String {
    use std::fmt::Write as _;
    // Go's and rustls' readers take lines of any length.
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in der.chunks(3) {
        let bits = three
            .iter()
            .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for index in 0..4 {
            let letter = match index <= three.len() {
                true => char::from(alphabet[(bits >> (18 - 6 * index)) & 63]),
                false => '=',
            };
            write!(text, "{letter}").expect("memory");
        }
    }
    text + "\n-----END CERTIFICATE-----\n"
}

/// Those that lead to `ca`.
fn of(ca: &[u8]) -> Clients {
    let mut warnings = Vec::new();
    let clients = Clients::anybody(true).issued_by(pem(ca).as_bytes(), &mut warnings);
    assert_eq!(warnings, [""; 0]);
    clients.expect("a CA")
}

/// Why a server that lets `clients` in does not let this one in, in each version of TLS the
/// same.
fn answer(clients: Clients, client: Option<&Client>) -> Result<(), String> {
    let ca = root();
    let clients = Arc::new(clients);
    let [old, new] = [&TLS12, &TLS13].map(|version| {
        let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
        server.only = Some(version);
        server.clients = Some(Arc::clone(&clients) as _);
        let options = TlsOptions {
            client: client.map(|client| ClientIdentity {
                cert: client
                    .chain
                    .iter()
                    .map(|der| pem(der))
                    .collect::<String>()
                    .into_bytes()
                    .into(),
                key: client.key.serialize_pem().into_bytes().into(),
            }),
            ..trusting(ca.as_ref())
        };
        let wire = handshake(&options, "example.test", server);
        match wire.server_error {
            Some(Error::InvalidCertificate(CertificateError::Other(why))) => Err(why.to_string()),
            Some(error) => Err(error.to_string()),
            None => {
                assert!(!wire.server.is_handshaking() && wire.heard.failure.is_none());
                Ok(())
            }
        }
    });
    assert_eq!(old, new);
    old
}

fn refusal(clients: Clients, client: &Client) -> String {
    answer(clients, Some(client)).expect_err("a refusal")
}

fn any_name() -> CertificateParams {
    leaf_params(&["client.test"])
}

fn for_purpose(purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = any_name();
    params.extended_key_usages = vec![purpose];
    params
}

fn a_ca() -> CertificateParams {
    let mut params = any_name();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// What people make with a few lines of `openssl`, and Go takes.
#[test]
fn clients_of_all_kinds_come_in() {
    let ca = root();
    let plain = || Client::issued(&any_name(), &ca);
    let old = || plain().of_version_1(ca.key());
    let old_root = version_1(ca.as_ref().der(), ca.key());
    let itself = Client::itself(&a_ca());
    let pinned = old();
    for (what, trusted, client) in [
        ("version 3", ca.as_ref().der(), &plain()),
        ("version 1", ca.as_ref().der(), &old()),
        ("below a root of version 1", &old_root, &old()),
        ("itself its CA", &itself.chain[0], &itself),
        ("version 1, and trusted itself", &pinned.chain[0], &pinned),
        ("a CA's", ca.as_ref().der(), &Client::issued(&a_ca(), &ca)),
        (
            "for clients",
            ca.as_ref().der(),
            &Client::issued(&for_purpose(ExtendedKeyUsagePurpose::ClientAuth), &ca),
        ),
        (
            "for anything",
            ca.as_ref().der(),
            &Client::issued(&for_purpose(ExtendedKeyUsagePurpose::Any), &ca),
        ),
    ] {
        assert_eq!(answer(of(trusted), Some(client)), Ok(()), "{what}");
        assert_eq!(
            answer(Clients::anybody(true), Some(client)),
            Ok(()),
            "{what}"
        );
    }
    let schemes = Clients::anybody(true).supported_verify_schemes();
    assert!(schemes.contains(&SignatureScheme::ECDSA_NISTP521_SHA512));
}

#[test]
fn clients_of_nobody_who_is_trusted_stay_out() {
    let (ca, stranger) = (root(), root());
    let trusted = || of(ca.as_ref().der());
    let unknown = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer).to_string());
    let old = Client::issued(&any_name(), &stranger).of_version_1(stranger.key());
    let mut altered = Client::issued(&any_name(), &ca).of_version_1(ca.key());
    let serial = inner(inner(&altered.chain[0])[0])[0].as_ptr();
    let mut bytes = altered.chain[0].to_vec();
    bytes[serial.addr() - altered.chain[0].as_ptr().addr() + 3] ^= 1;
    altered.chain[0] = bytes.into();
    // Of version 3 it might issue others; of version 1 it does not say so.
    let between = CertifiedIssuer::signed_by(ca_params("between", (2035, 1, 1)), key(), &ca);
    let between = between.expect("a CA");
    let mut below = Client::issued(&any_name(), &between);
    below.chain.push(der(between.as_ref()));
    assert_eq!(answer(trusted(), Some(&below)), Ok(()));
    below.chain[1] = version_1(between.as_ref().der(), ca.key());
    for (what, client) in [
        (
            "another of the same name",
            &Client::issued(&any_name(), &stranger),
        ),
        ("the same of version 1", &old),
        ("signed before it was altered", &altered),
        ("itself its CA", &Client::itself(&a_ca())),
    ] {
        assert_eq!(answer(trusted(), Some(client)), unknown, "{what}");
    }
    assert_eq!(
        refusal(trusted(), &below),
        "certificate chain has a certificate that is not version 3: CN=leaf"
    );
    let expired = params("old", &[], (2020, 1, 1), (2025, 6, 12));
    let expired = Client::issued(&expired, &ca).of_version_1(ca.key());
    assert_eq!(
        answer(trusted(), Some(&expired)),
        Err(Error::InvalidCertificate(CertificateError::Expired).to_string())
    );
    assert_eq!(answer(Clients::anybody(true), Some(&expired)), Ok(()));
    assert_eq!(
        answer(trusted(), None),
        Err(Error::NoCertificatesPresented.to_string())
    );
    assert_eq!(answer(Clients::anybody(false), None), Ok(()));
}

#[test]
fn certificates_for_servers_are_not_for_clients() {
    let ca = root();
    let server = for_purpose(ExtendedKeyUsagePurpose::ServerAuth);
    let itself = Client::itself(&server);
    let says = "is not for clients (its extended key usage lacks clientAuth): CN=";
    let found = refusal(of(ca.as_ref().der()), &Client::issued(&server, &ca));
    assert_eq!(found, format!("certificate {says}leaf"));
    let found = refusal(of(&itself.chain[0]), &itself);
    assert_eq!(found, format!("certificate {says}leaf"));
    let mut bound = ca_params("root", (2040, 1, 1));
    bound.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let bound: Ca = CertifiedIssuer::self_signed(bound, key()).expect("a root");
    let found = refusal(
        of(bound.as_ref().der()),
        &Client::issued(&any_name(), &bound),
    );
    assert_eq!(found, format!("root {says}root"));
    assert_eq!(answer(Clients::anybody(true), Some(&itself)), Ok(()));
}

#[test]
fn only_who_has_a_name_that_is_allowed_comes_in() {
    let ca = root();
    let mut params = leaf_params(&["client.test", "192.0.2.9", "2001:db8::1"]);
    let text = |text: &str| Ia5String::try_from(text).expect("ASCII");
    let more = [
        SanType::Rfc822Name(text("a@b.test")),
        SanType::URI(text("spiffe://x/y")),
        SanType::IpAddress("::ffff:192.0.2.10".parse().expect("an address")),
    ];
    params.subject_alt_names.extend(more);
    let client = Client::issued(&params, &ca);
    let allowed = |name: &str| Clients::anybody(false).named(vec!["x".into(), name.into()]);
    for name in [
        "client.test",
        "192.0.2.9",
        "2001:db8::1",
        "a@b.test",
        "spiffe://x/y",
        "192.0.2.10",
    ] {
        assert_eq!(answer(allowed(name), Some(&client)), Ok(()), "{name}");
    }
    let found = refusal(allowed("other.test"), &client);
    let says = "certificate is for client.test, 192.0.2.9, 2001:db8::1, a@b.test, spiffe://x/y and 1 more, and for none that is allowed: CN=leaf";
    assert_eq!(found, says);
    let nameless = Client::issued(&params, &ca).of_version_1(ca.key());
    let found = refusal(allowed("client.test"), &nameless);
    assert_eq!(
        found,
        "certificate is for no name, and for none that is allowed: CN=leaf"
    );
    // Who shows nothing has no name, whether he had to show something or not.
    let optional = of(ca.as_ref().der()).named(vec!["client.test".into()]);
    assert_eq!(
        answer(optional, None),
        Err(Error::NoCertificatesPresented.to_string())
    );
    assert_eq!(
        answer(allowed("client.test"), None),
        Err(Error::NoCertificatesPresented.to_string())
    );
}

#[test]
fn a_file_of_cas_may_be_damaged_in_part() {
    let ca = root();
    let file = format!("{}{}", pem(b"\x30\x00"), pem(ca.as_ref().der()));
    let mut warnings = Vec::new();
    let clients = Clients::anybody(true).issued_by(file.as_bytes(), &mut warnings);
    let client = Client::issued(&any_name(), &ca);
    assert_eq!(answer(clients.expect("a CA"), Some(&client)), Ok(()));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("not readable X.509 in line 1"),
        "{warnings:?}"
    );
    let none = Clients::anybody(true).issued_by(b"nothing", &mut warnings);
    let says = "ca: expected a CERTIFICATE in PEM, found no PEM section in 7 bytes";
    assert_eq!(none.expect_err("no CA").to_string(), says);
}
