//! Encryption at rest of what must not be read from the catalog's file (regulation R-10).
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a key of its own file, `secret.key` in the data directory, readable by
//! the owner only: a copy of `catalog.db` alone (a backup, a support bundle) tells no password. Each sealed value is bound to
//! its place, so that one cannot be moved to another row. Nonces are 24 random bytes: no counter to lose.
//!
//! | offset | size | field      | meaning                            |
//! |-------:|-----:|------------|------------------------------------|
//! |      0 |    1 | version    | 1                                  |
//! |      1 |   24 | nonce      | random, never used again           |
//! |     25 | rest | ciphertext | with the 16-byte Poly1305 tag last |

use crate::catalog::error::CatalogError;
use base64::{Engine, prelude::BASE64_STANDARD};
use chacha20poly1305::{
    AeadCore, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, OsRng, Payload},
};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// The key's file in the data directory.
pub(super) const KEY_FILE: &str = "secret.key";

const KEY_PREFIX: &str = "nvring-key-1:";
const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;

/// The key that seals and unseals the catalog's secrets.
pub(super) struct SealKey(XChaCha20Poly1305);

/// A sealed value that does not open: damaged, moved from another place, or sealed with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSealedHere;

impl SealKey {
    /// Reads the key of `dir`.
    ///
    /// # Errors
    /// When it is absent, readable by others, or not a key.
    pub(super) fn open(dir: &Path) -> Result<Self, CatalogError> {
        let path = dir.join(KEY_FILE);
        let failed = |source| CatalogError::Key {
            path: path.clone(),
            source,
        };
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(CatalogError::KeyMissing { path });
            }
            Err(error) => return Err(failed(error)),
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(CatalogError::KeyReadable { path });
        }
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(failed)?);
        let bytes = text
            .trim_end()
            .strip_prefix(KEY_PREFIX)
            .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
            .map(Zeroizing::new);
        match bytes.map(|bytes| XChaCha20Poly1305::new_from_slice(&bytes)) {
            Some(Ok(cipher)) => Ok(Self(cipher)),
            _ => Err(CatalogError::KeyMalformed { path }),
        }
    }

    /// Reads the key of `dir`, made now when there is none. A key once made is never replaced.
    pub(super) fn open_or_create(dir: &Path) -> Result<Self, CatalogError> {
        match Self::open(dir) {
            Err(CatalogError::KeyMissing { path }) => {
                create(dir, &path).map_err(|source| CatalogError::Key { path, source })?;
                Self::open(dir)
            }
            other => other,
        }
    }

    /// Encrypts `plain` for `place`.
    pub(super) fn seal(&self, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload {
            msg: plain,
            aad: place,
        };
        let ciphertext = self
            .0
            .encrypt(&nonce, payload)
            .expect("a value of a few kilobytes is within the cipher's limits");
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + ciphertext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Decrypts what was sealed for `place`.
    pub(super) fn unseal(
        &self,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        let (version, rest) = sealed.split_first().ok_or(NotSealedHere)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(NotSealedHere)?;
        if *version != VERSION {
            return Err(NotSealedHere);
        }
        let payload = Payload {
            msg: ciphertext,
            aad: place,
        };
        self.0
            .decrypt(XNonce::from_slice(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| NotSealedHere)
    }
}

/// Writes a fresh key: whole under another name first, so that a power cut leaves a key or none, never half of one.
fn create(dir: &Path, path: &Path) -> std::io::Result<()> {
    let key = Zeroizing::new(XChaCha20Poly1305::generate_key(&mut OsRng).to_vec());
    let text = Zeroizing::new(format!("{KEY_PREFIX}{}\n", BASE64_STANDARD.encode(&*key)));
    let fresh = dir.join("secret.key.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_whole_in_its_place_and_with_its_key() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = SealKey::open_or_create(one.path()).unwrap();
        let sealed = key.seal(b"place", b"h0use");
        assert!(!sealed.windows(5).any(|window| window == b"h0use"));
        assert_ne!(sealed, key.seal(b"place", b"h0use"), "nonces differ");
        let again = SealKey::open(one.path()).unwrap();
        assert_eq!(**again.unseal(b"place", &sealed).unwrap(), *b"h0use");
        assert!(again.unseal(b"elsewhere", &sealed).is_err());
        let foreign = SealKey::open_or_create(other.path()).unwrap();
        assert!(foreign.unseal(b"place", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.unseal(b"place", &damaged).is_err(), "byte {at}");
            assert!(key.unseal(b"place", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    /// The vector of draft-irtf-cfrg-xchacha-03 A.3.1.
    #[test]
    fn the_cipher_is_the_published_one() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2)
                .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
                .collect()
        };
        let key: Vec<u8> = (0x80..0xa0).collect();
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        let cipher = XChaCha20Poly1305::new_from_slice(&key).unwrap();
        let payload = Payload {
            msg: plain,
            aad: &aad,
        };
        let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload).unwrap();
        assert_eq!(sealed[..16], hex("bd6d179d3e83d43b9576579493c0e939"));
        assert_eq!(
            sealed[plain.len()..],
            hex("c0875924c1c7987947deafd8780acf49")
        );
    }

    #[test]
    fn a_key_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        SealKey::open_or_create(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        mode(0o640);
        let Err(error) = SealKey::open(dir.path()) else {
            panic!("a key readable by the group was accepted")
        };
        assert!(error.to_string().contains("chmod 600"), "{error}");
        mode(0o600);
        std::fs::write(&path, "something else\n").unwrap();
        assert!(matches!(
            SealKey::open_or_create(dir.path()),
            Err(CatalogError::KeyMalformed { .. })
        ));
    }
}
