//! Certificates by name, made anew for each run: `NAME.pem` and `NAME.key` in
//! the folder are the same for whoever reads files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SerialNumber,
    SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All of them.
pub(crate) struct Certificates {
    by_name: BTreeMap<&'static str, Identity>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificates {
    pub(crate) fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        self.by_name[name].chain.clone()
    }

    pub(crate) fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        self.by_name[name].key.clone_key()
    }

    /// Makes them, and writes them as files.
    pub(crate) fn make(folder: &Path) -> Self {
        let mut maker = Maker {
            folder,
            by_name: BTreeMap::new(),
        };
        let root = maker.root("root", 2091);
        maker.leaves(&root);
        maker.chains(&root);
        maker.subjects(&root);
        maker.purposes(&root);
        maker.policies(&root);
        maker.constraints(&root);
        maker.too_many_names(&root);
        maker.long_chains(&root);
        maker.keys(&root);
        maker.self_signed();
        Self {
            by_name: maker.by_name,
        }
    }
}

struct Maker<'a> {
    folder: &'a Path,
    by_name: BTreeMap<&'static str, Identity>,
}

fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key")
}

fn common(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// For localhost and the loopback addresses, from 2010 to 2089.
fn leaf(name: &str) -> CertificateParams {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("valid names");
    params.distinguished_name = common(name);
    params.not_before = date_time_ymd(2010, 2, 3);
    params.not_after = date_time_ymd(2089, 4, 5);
    params
}

fn authority(name: &str, last_year: i32) -> CertificateParams {
    let mut params = leaf(name);
    params.subject_alt_names.clear();
    params.not_after = date_time_ymd(last_year, 6, 7);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

/// Tags of name constraints (RFC 5280 section 4.2.1.10) and of what they are about.
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const DIRECTORY: u8 = 0xa4;
const URI: u8 = 0x86;

/// Name constraints that are not critical: the library makes none of these, nor any on
/// URIs.
fn subtree(which: u8, tag: u8, base: &[u8]) -> CustomExtension {
    let short = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("a short one");
        [&[tag, length], content].concat()
    };
    let subtree = short(0x30, &short(tag, base));
    let value = short(0x30, &short(which, &subtree));
    CustomExtension::from_oid_content(&[2, 5, 29, 30], value)
}

fn critical(mut extension: CustomExtension) -> CustomExtension {
    extension.set_criticality(true);
    extension
}

fn mail(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().expect("a name"))
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("a name"))
}

/// Leaves by name, with the constraints of the CA above and the names that they have
/// besides those of every leaf.
fn constrained() -> Vec<(&'static str, CustomExtension, Vec<SanType>)> {
    let permits = |tag: u8, base: &[u8]| subtree(PERMITTED, tag, base);
    let excludes = |tag: u8, base: &[u8]| subtree(EXCLUDED, tag, base);
    let inside = || vec![mail("who@a.test"), uri("spiffe://c.a.test/x")];
    let star = || vec![SanType::DnsName("*.local".try_into().expect("a name"))];
    let urn = || vec![uri("urn:a:b")];
    let name = &[0x30, 0];
    vec![
        ("mail-permitted", permits(MAIL, b"a.test"), inside()),
        ("mail-one", permits(MAIL, b"who@A.test"), inside()),
        ("mail-not-permitted", permits(MAIL, b"b.test"), inside()),
        ("mail-not-excluded", excludes(MAIL, b"b.test"), inside()),
        ("mail-excluded", excludes(MAIL, b"a.test"), inside()),
        ("mail-unread", permits(MAIL, b"a.test"), vec![mail("who")]),
        ("mail-and-star", excludes(MAIL, b"b.test"), star()),
        (
            "mail-critical",
            critical(permits(MAIL, b"a.test")),
            inside(),
        ),
        ("uri-permitted", permits(URI, b"a.test"), inside()),
        ("uri-not-permitted", permits(URI, b"b.test"), inside()),
        ("uri-not-excluded", excludes(URI, b".c.a.test"), inside()),
        ("uri-excluded", excludes(URI, b"a.test"), inside()),
        (
            "uri-address",
            permits(URI, b""),
            vec![uri("spiffe://127.0.0.1/x")],
        ),
        ("uri-without-host", permits(URI, b"a.test"), urn()),
        ("uri-unbound", permits(MAIL, b"a.test"), urn()),
        ("uri-unbound-dns", permits(DNS, b"localhost"), urn()),
        ("dns-and-star", excludes(DNS, b"b.test"), star()),
        ("directory-optional", permits(DIRECTORY, name), inside()),
        ("directory-excluded", excludes(DIRECTORY, name), inside()),
        (
            "directory-critical",
            critical(permits(DIRECTORY, name)),
            inside(),
        ),
    ]
}

impl Maker<'_> {
    fn keep(&mut self, name: &'static str, pems: &[String], key: &str) {
        let chain = pems.concat();
        fs::write(self.folder.join(format!("{name}.pem")), &chain).expect("a file");
        fs::write(self.folder.join(format!("{name}.key")), key).expect("a file");
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        self.by_name.insert(name, Identity { chain, key });
    }

    fn root(&mut self, name: &'static str, last_year: i32) -> CertifiedIssuer<'static, KeyPair> {
        let key = key(&PKCS_ECDSA_P256_SHA256);
        let root = CertifiedIssuer::self_signed(authority(name, last_year), key).expect("a root");
        self.keep(name, &[root.pem()], &root.key().serialize_pem());
        root
    }

    fn sign(
        &mut self,
        name: &'static str,
        params: CertificateParams,
        key: &KeyPair,
        issuer: &Issuer<'_, KeyPair>,
        further: &[String],
    ) {
        let leaf = params.signed_by(key, issuer).expect("a certificate");
        let mut chain = vec![leaf.pem()];
        chain.extend_from_slice(further);
        self.keep(name, &chain, &key.serialize_pem());
    }

    fn signed(
        &mut self,
        name: &'static str,
        issuer: &Issuer<'_, KeyPair>,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let mut params = leaf(name);
        change(&mut params);
        self.sign(name, params, &key(&PKCS_ECDSA_P256_SHA256), issuer, &[]);
    }

    fn leaves(&mut self, root: &Issuer<'_, KeyPair>) {
        self.signed("good", root, |_| ());
        self.signed("client", root, |params| params.subject_alt_names.clear());
        self.signed("expired", root, |params| {
            params.not_after = date_time_ymd(2021, 1, 1);
        });
        self.signed("future", root, |params| {
            params.not_before = date_time_ymd(2085, 1, 1);
        });
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            CertificateParams::new(names)
                .expect("valid names")
                .subject_alt_names
        };
        self.signed("other-name", root, |params| {
            params.subject_alt_names = names(&["elsewhere.test"]);
        });
        self.signed("ip-only", root, |params| {
            params.subject_alt_names = names(&["127.0.0.1"]);
        });
        self.signed("name-only", root, |params| {
            params.subject_alt_names = names(&["localhost"]);
        });
        self.signed("no-names", root, |params| {
            params.distinguished_name = common("localhost");
            params.subject_alt_names.clear();
        });
        self.signed("many-names", root, |params| {
            params.subject_alt_names =
                names(&["b.test", "*.a.test", "localhost", "127.0.0.1", "a.test"]);
            for more in [
                SanType::Rfc822Name("who@a.test".try_into().expect("a name")),
                SanType::URI("https://a.test/x,y".try_into().expect("a name")),
            ] {
                params.subject_alt_names.push(more);
            }
        });
        self.signed("star-names", root, |params| {
            params.subject_alt_names = names(&["*.local", "*.a.test", "127.0.0.1"]);
        });
        // DER needs a leading zero byte for the second; the first has a
        // leading zero nibble.
        self.signed("serial-low", root, |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc, 0x11, 0xf1, 0x90]));
        });
        self.signed("serial-high", root, |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[0xbb, 0xff, 0, 0x11]));
        });
        self.signed("serial-one", root, |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[1]));
        });
    }

    fn chains(&mut self, root: &CertifiedIssuer<'static, KeyPair>) {
        let key_of = |_: &str| key(&PKCS_ECDSA_P256_SHA256);
        let middle = CertifiedIssuer::signed_by(authority("middle", 2081), key_of("middle"), root)
            .expect("an intermediate");
        let key = key_of("chained");
        self.sign("chained", leaf("chained"), &key, &middle, &[middle.pem()]);
        let key = key_of("unchained");
        self.sign("unchained", leaf("unchained"), &key, &middle, &[]);
        let key = key_of("rooted");
        self.sign("rooted", leaf("rooted"), &key, root, &[root.pem()]);
        // One name and key, two certificates of it: the server sends the one
        // that ends before the leaf.
        let short = {
            let key = KeyPair::from_pem(&root.key().serialize_pem()).expect("a key");
            CertifiedIssuer::self_signed(authority("root", 2051), key).expect("a root")
        };
        let key = key_of("two-roots");
        self.sign("two-roots", leaf("two-roots"), &key, root, &[short.pem()]);
        let both = [root.pem(), short.pem()].concat();
        fs::write(self.folder.join("both-roots.pem"), both).expect("a file");
        let damaged = "-----BEGIN CERTIFICATE-----\nMII?\n-----END CERTIFICATE-----\n";
        let endless = "-----BEGIN CERTIFICATE-----\nMIIB\n";
        let relic = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        let pem = [damaged, endless, relic, &root.pem(), damaged].concat();
        fs::write(self.folder.join("damaged-roots.pem"), pem).expect("a file");
        fs::write(self.folder.join("damaged.pem"), [damaged, relic].concat()).expect("a file");
        let _stranger = self.root("stranger", 2091);
    }

    /// What a certificate says that it may be used for.
    fn purposes(&mut self, root: &CertifiedIssuer<'static, KeyPair>) {
        let any = vec![ExtendedKeyUsagePurpose::Any];
        for (name, purposes) in [
            ("any-purpose", any.clone()),
            (
                "any-other-purpose",
                vec![
                    ExtendedKeyUsagePurpose::ClientAuth,
                    ExtendedKeyUsagePurpose::Any,
                ],
            ),
            ("client-purpose", vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ] {
            self.signed(name, root, |params| params.extended_key_usages = purposes);
        }
        let mut middle = authority("any-middle", 2081);
        middle.extended_key_usages = any;
        let middle = CertifiedIssuer::signed_by(middle, key(&PKCS_ECDSA_P256_SHA256), root);
        let middle = middle.expect("an intermediate");
        let own = key(&PKCS_ECDSA_P256_SHA256);
        self.sign(
            "any-purpose-chain",
            leaf("any-purpose-chain"),
            &own,
            &middle,
            &[middle.pem()],
        );
        self.signed("ca-leaf", root, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        });
        self.signed("ca-leaf-bounded", root, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        });
        // Issued by what says to be a server's and a CA's.
        let both = {
            let mut params = leaf("both");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::signed_by(params, key(&PKCS_ECDSA_P256_SHA256), root)
        };
        let both = both.expect("a certificate");
        let own = key(&PKCS_ECDSA_P256_SHA256);
        let mut params = leaf("ca-leaf-chain");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.sign("ca-leaf-chain", params, &own, &both, &[both.pem()]);
    }

    /// Critical extensions about policies (RFC 5280 sections 4.2.1.4, 4.2.1.5,
    /// 4.2.1.11 and 4.2.1.14), in CAs and in a leaf.
    fn policies(&mut self, root: &CertifiedIssuer<'static, KeyPair>) {
        let critical = |id: &[u64], content: &[u8]| {
            let mut extension = CustomExtension::from_oid_content(id, content.to_vec());
            extension.set_criticality(true);
            extension
        };
        let one = critical(&[2, 5, 29, 32], &[0x30, 7, 0x30, 5, 6, 3, 0x2a, 3, 1]);
        let other = critical(&[2, 5, 29, 32], &[0x30, 7, 0x30, 5, 6, 3, 0x2a, 3, 2]);
        let mapped = critical(
            &[2, 5, 29, 33],
            &[0x30, 12, 0x30, 10, 6, 3, 0x2a, 3, 1, 6, 3, 0x2a, 3, 2],
        );
        let required = critical(&[2, 5, 29, 36], &[0x30, 3, 0x80, 1, 0]);
        let unmapped = critical(&[2, 5, 29, 36], &[0x30, 3, 0x81, 1, 0]);
        let no_any = critical(&[2, 5, 29, 54], &[2, 1, 0]);
        let unknown = critical(&[1, 2, 3, 4], &[5, 0]);
        let requires = [one.clone(), required, no_any.clone()];
        let maps = [one.clone(), mapped];
        for (name, middles, leaf) in [
            ("policies-leaf", vec![], vec![one.clone()]),
            ("policies-unasked", vec![vec![unmapped, no_any]], vec![]),
            (
                "policies-required",
                vec![requires.to_vec()],
                vec![one.clone()],
            ),
            ("policies-absent", vec![requires.to_vec()], vec![]),
            (
                "policies-other",
                vec![requires.to_vec()],
                vec![other.clone()],
            ),
            (
                "policies-mapped",
                vec![requires.to_vec(), maps.to_vec()],
                vec![other],
            ),
            (
                "policies-unmapped",
                vec![requires.to_vec(), maps.to_vec()],
                vec![one],
            ),
            ("critical-unknown", vec![], vec![unknown.clone()]),
            ("critical-unknown-chain", vec![vec![unknown]], vec![]),
        ] {
            self.chain(name, root, &middles, leaf);
        }
    }

    /// CAs with name constraints, and a leaf of each.
    fn constraints(&mut self, root: &CertifiedIssuer<'static, KeyPair>) {
        let new_key = || key(&PKCS_ECDSA_P256_SHA256);
        for (name, extension, names) in constrained() {
            let mut params = authority(&format!("{name}-0"), 2081);
            params.custom_extensions = vec![extension];
            let middle = CertifiedIssuer::signed_by(params, new_key(), root).expect("a CA");
            let mut params = leaf(name);
            params.subject_alt_names.extend(names);
            self.sign(name, params, &new_key(), &middle, &[middle.pem()]);
        }
        let mut bound = authority("bound-root", 2091);
        bound.custom_extensions = vec![critical(subtree(PERMITTED, URI, b"a.test"))];
        let bound = CertifiedIssuer::self_signed(bound, new_key()).expect("a root");
        fs::write(self.folder.join("bound-root.pem"), bound.pem()).expect("a file");
        self.signed("bound-inside", &bound, |params| {
            params.subject_alt_names.push(uri("spiffe://c.a.test/x"));
        });
        self.signed("bound-outside", &bound, |params| {
            params.subject_alt_names.push(uri("https://b.test/"));
        });
    }

    /// A leaf whose names are more than a message of 64 KiB.
    fn too_many_names(&mut self, root: &Issuer<'_, KeyPair>) {
        self.signed("too-many-names", root, |params| {
            let name = |n: usize| format!("name-{n}.example.test").try_into();
            let names = (0..3_500).map(|n| SanType::DnsName(name(n).expect("a name")));
            params.subject_alt_names.extend(names);
        });
    }

    /// As many certificates between leaf and root as can be verified, and one more.
    fn long_chains(&mut self, root: &CertifiedIssuer<'static, KeyPair>) {
        for (name, length) in [("six-between", 6), ("seven-between", 7)] {
            self.chain(name, root, &vec![vec![]; length], vec![]);
        }
    }

    /// A leaf, by way of a CA with each of `middles` from `root`.
    fn chain(
        &mut self,
        name: &'static str,
        root: &CertifiedIssuer<'static, KeyPair>,
        middles: &[Vec<CustomExtension>],
        extensions: Vec<CustomExtension>,
    ) {
        let new_key = || key(&PKCS_ECDSA_P256_SHA256);
        let mut issuer: Option<CertifiedIssuer<'static, KeyPair>> = None;
        let mut further = Vec::new();
        for (index, extensions) in middles.iter().enumerate() {
            let mut params = authority(&format!("{name}-{index}"), 2081);
            params.custom_extensions.clone_from(extensions);
            let by = issuer.as_ref().unwrap_or(root);
            let made = CertifiedIssuer::signed_by(params, new_key(), by).expect("a CA");
            further.insert(0, made.pem());
            issuer = Some(made);
        }
        let mut params = leaf(name);
        params.custom_extensions = extensions;
        let by = issuer.as_ref().unwrap_or(root);
        self.sign(name, params, &new_key(), by, &further);
    }

    fn subjects(&mut self, root: &Issuer<'_, KeyPair>) {
        self.signed("subject-many", root, |params| {
            let mut subject = DistinguishedName::new();
            subject.push(DnType::CountryName, "XX");
            subject.push(DnType::StateOrProvinceName, "State");
            subject.push(DnType::LocalityName, "Town");
            subject.push(DnType::OrganizationName, "Org");
            subject.push(DnType::OrganizationalUnitName, "Unit");
            subject.push(DnType::CommonName, "many");
            params.distinguished_name = subject;
        });
        self.signed("subject-escapes", root, |params| {
            let mut subject = DistinguishedName::new();
            subject.push(DnType::OrganizationName, " a,b+c\"d\\e<f>;g=h ");
            subject.push(DnType::OrganizationalUnitName, "#first");
            subject.push(DnType::CommonName, "\u{fc}ml\u{e4}ut \u{1f600}\n2");
            params.distinguished_name = subject;
        });
        self.signed("subject-odd", root, |params| {
            let mut subject = DistinguishedName::new();
            for (oid, value) in [
                (&[1, 2, 840, 113_549, 1, 9, 1][..], "who@a.test"),
                (&[0, 9, 2342, 19_200_300, 100, 1, 25], "domain"),
                (&[2, 5, 4, 5], "4711"),
                (&[2, 5, 4, 9], "Street 1"),
                (&[2, 5, 4, 17], "12345"),
                (&[2, 5, 4, 12], "Title"),
                (&[1, 3, 6, 1, 4, 1, 99_999, 1], "own"),
            ] {
                subject.push(DnType::CustomDnType(oid.to_vec()), value);
            }
            params.distinguished_name = subject;
        });
        self.signed("subject-empty", root, |params| {
            params.distinguished_name = DistinguishedName::new();
        });
        self.with_openssl(
            "subject-pairs",
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "/C=XX/O=Org+OU=Unit+CN=pair/CN=last",
        );
    }

    fn keys(&mut self, root: &Issuer<'_, KeyPair>) {
        let pairs = [
            ("ed25519", key(&PKCS_ED25519)),
            ("p384", key(&PKCS_ECDSA_P384_SHA384)),
        ];
        for (name, key) in pairs {
            self.sign(name, leaf(name), &key, root, &[]);
        }
        self.with_openssl("rsa", &["-newkey", "rsa:2048"], "/CN=rsa");
        self.with_openssl("rsa-1024", &["-newkey", "rsa:1024"], "/CN=rsa-1024");
        self.with_openssl("rsa-768", &["-newkey", "rsa:768"], "/CN=rsa-768");
        let p521 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
        self.with_openssl("p521", &p521, "/CN=p521");
        for (name, issuer, bits) in [
            ("rsa-1024-issued", "rsa-1024", "rsa:1024"),
            ("rsa-768-issued", "rsa-768", "rsa:1024"),
            ("p521-issued", "p521", "rsa:2048"),
        ] {
            let at = |ending: &str| self.folder.join(format!("{issuer}.{ending}"));
            let (pem, key) = (at("pem"), at("key"));
            let (pem, key) = (pem.display().to_string(), key.display().to_string());
            let issued = ["-newkey", bits, "-CA", &pem, "-CAkey", &key];
            self.with_openssl(name, &issued, &format!("/CN={name}"));
        }
        let file = |name: &str| fs::read_to_string(self.folder.join(name)).expect("a file");
        let sections = [file("rsa.pem"), file("rsa.key")].concat();
        fs::write(self.folder.join("rsa-sections.pem"), sections).expect("a file");
    }

    fn self_signed(&mut self) {
        let itself = key(&PKCS_ECDSA_P256_SHA256);
        let certificate = leaf("itself").self_signed(&itself).expect("a certificate");
        self.keep("itself", &[certificate.pem()], &itself.serialize_pem());
        let mut params = authority("own-authority", 2077);
        params.subject_alt_names = leaf("x").subject_alt_names;
        let own = key(&PKCS_ECDSA_P256_SHA256);
        let certificate = params.self_signed(&own).expect("a certificate");
        self.keep("own-authority", &[certificate.pem()], &own.serialize_pem());
    }

    /// A root of itself for localhost, or another's leaf that says to be a CA's,
    /// made by the openssl program: what the library does not make.
    fn with_openssl(&mut self, name: &'static str, key: &[&str], subject: &str) {
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let status = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-sha256", "-days", "20000"])
            .args(["-multivalue-rdn", "-subj", subject])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(key)
            .arg("-keyout")
            .arg(file("key"))
            .arg("-out")
            .arg(file("pem"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "openssl makes {name}"
        );
        let read = |ending: &str| fs::read_to_string(file(ending)).expect("a file");
        let (pem, key) = (read("pem"), read("key"));
        self.keep(name, &[pem], &key);
    }
}
