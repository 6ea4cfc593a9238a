//! Key exchange on P-521, which ring lacks and Go offers.
//!
//! A server of TLS 1.2 whose certificate is on that curve answers only who
//! offers the curve here too (RFC 8422 section 5.1.1). It is offered last.

use p521::elliptic_curve::point::AffineCoordinates;
use p521::elliptic_curve::sec1::ToSec1Point;
use p521::{PublicKey, Sec1Point, SecretKey};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup, ring};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// Bytes of a number of the field (521 bits), and of a secret.
const FIELD: usize = 66;
/// Bytes of an uncompressed point (SEC 1 section 2.3.3).
const POINT: usize = 1 + 2 * FIELD;

/// The group, for a provider.
pub static SECP521R1: &dyn SupportedKxGroup = &Secp521r1;

#[derive(Debug)]
struct Secp521r1;

impl SupportedKxGroup for Secp521r1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let random = ring::default_provider().secure_random;
        loop {
            let mut secret = [0; FIELD];
            random.fill(&mut secret)?;
            secret[0] &= 1;
            // Of 521 bits about one in 2^260 is not below the order of the group.
            if let Ok(secret) = SecretKey::from_slice(&secret) {
                let public = secret.public_key().to_sec1_point(false);
                return Ok(Box::new(Started { secret, public }));
            }
        }
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

struct Started {
    secret: SecretKey,
    public: Sec1Point,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // TLS has no other form of points (RFC 8446 section 4.2.8.2).
        if peer.len() != POINT {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = peer.to_projective() * *self.secret.to_nonzero_scalar();
        Ok(SharedSecret::from(&*shared.to_affine().x()))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(peer: &[u8]) -> Result<Vec<u8>, Error> {
        let started = SECP521R1.start().expect("a secret");
        let shared = started.complete(peer)?;
        Ok(shared.secret_bytes().to_vec())
    }

    #[test]
    fn both_sides_have_one_secret_and_no_two_exchanges_do() {
        let [one, two] = [(); 2].map(|()| SECP521R1.start().expect("a secret"));
        assert_eq!(one.pub_key().len(), POINT);
        let (for_one, for_two) = (two.pub_key().to_vec(), one.pub_key().to_vec());
        let one = one.complete(&for_one).expect("a point");
        let two = two.complete(&for_two).expect("a point");
        assert_eq!(one.secret_bytes(), two.secret_bytes());
        assert_eq!(one.secret_bytes().len(), FIELD);
        assert_ne!(complete(&for_one), Ok(one.secret_bytes().to_vec()));
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let point = SECP521R1.start().expect("a secret").pub_key().to_vec();
        let mut off = point.clone();
        off[POINT - 1] ^= 1;
        let compressed = [&[2], &point[1..=FIELD]].concat();
        for peer in [&off[..], &compressed, &point[1..], &[0], &[]] {
            let refused = complete(peer);
            assert_eq!(refused, Err(PeerMisbehaved::InvalidKeyShare.into()));
        }
        assert!(complete(&point).is_ok());
    }
}
