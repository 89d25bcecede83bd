//! Who guesses passwords: wrong ones counted by address, so that a new connection gives nobody new tries.
//!
//! A few are free: people mistype. Each further one makes the address wait twice as long before any sign-in from it is looked at again,
//! right or wrong. Addresses are forgotten when nothing wrong came from them for a while; when too many are known, the one that erred
//! longest ago makes room. So memory is bounded, and whoever has more addresses than that needs to guess from all of them in turn.

use crate::{api::places::client, base::Micros};
use prometheus::IntCounter;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Wrong passwords of an address that cost nothing.
pub(super) const FREE: u32 = 20;
/// What the next one costs; each further one twice as much.
const WAIT: Micros = Micros::from_secs(1);
/// And at most so much.
const WAIT_MAX: Micros = Micros::from_secs(300);
/// An address is forgotten when nothing wrong came from it for so long.
const FORGOTTEN_AFTER: Micros = Micros::from_secs(3_600);
/// Most addresses known.
const ADDRESSES_MAX: usize = 4_096;

/// The table.
#[derive(Debug)]
pub struct Guesses {
    known: Mutex<HashMap<IpAddr, Account>>,
    wrong: IntCounter,
    put_off: IntCounter,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    wrong: u32,
    last: Micros,
    /// Nothing is looked at before.
    until: Micros,
}

impl Default for Guesses {
    fn default() -> Self {
        let counter =
            |name: &str, help: &str| IntCounter::new(name, help).expect("the name is valid");
        Self {
            known: Mutex::default(),
            wrong: counter(
                "nvring_rtsp_wrong_passwords_total",
                "Sign-ins to RTSP with a wrong name or password",
            ),
            put_off: counter(
                "nvring_rtsp_sign_ins_put_off_total",
                "Sign-ins to RTSP not looked at, because too many wrong ones came from their address",
            ),
        }
    }
}

impl Guesses {
    /// What is counted.
    pub(super) fn counters(&self) -> [IntCounter; 2] {
        [self.wrong.clone(), self.put_off.clone()]
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Account>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `peer` has to wait before a sign-in is looked at; `None` when it need not. `now` is monotonic.
    pub(super) fn must_wait(&self, peer: IpAddr, now: Micros) -> Option<Micros> {
        let until = self.lock().get(&client(peer))?.until;
        let wait = (until > now).then(|| until - now);
        if wait.is_some() {
            self.put_off.inc();
        }
        wait
    }

    /// Books a wrong password.
    pub(super) fn wrong(&self, peer: IpAddr, now: Micros) {
        self.wrong.inc();
        let mut known = self.lock();
        let peer = client(peer);
        if !known.contains_key(&peer) && known.len() >= ADDRESSES_MAX {
            make_room(&mut known, now);
        }
        let fresh = Account {
            wrong: 0,
            last: now,
            until: now,
        };
        let account = known.entry(peer).or_insert(fresh);
        if now - account.last >= FORGOTTEN_AFTER {
            *account = fresh;
        }
        account.wrong = account.wrong.saturating_add(1);
        account.last = now;
        if account.wrong >= FREE {
            let doublings = (account.wrong - FREE).min(16);
            account.until = now + Micros(WAIT.0 << doublings).min(WAIT_MAX);
        }
    }
}

fn make_room(known: &mut HashMap<IpAddr, Account>, now: Micros) {
    known.retain(|_, account| now - account.last < FORGOTTEN_AFTER);
    if known.len() >= ADDRESSES_MAX {
        let oldest = known.iter().min_by_key(|(_, account)| account.last);
        if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
            known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn who_guesses_waits_longer_and_longer_and_nobody_else_does() {
        let guesses = Guesses::default();
        let mut now = Micros::from_secs(5);
        for _ in 1..FREE {
            guesses.wrong(peer(1), now);
            assert_eq!(guesses.must_wait(peer(1), now), None);
        }
        let mut tries = 0;
        let end = now + Micros::from_secs(3_600);
        while now < end {
            guesses.wrong(peer(1), now);
            tries += 1;
            let wait = guesses.must_wait(peer(1), now).expect("a wait");
            assert!(wait <= WAIT_MAX);
            now = now + wait;
            assert_eq!(guesses.must_wait(peer(1), now), None);
        }
        assert!(tries < 25, "{tries} tries in an hour");
        assert_eq!(guesses.must_wait(peer(2), now), None);
        assert_eq!(guesses.counters()[0].get(), u64::from(FREE) - 1 + tries);
        guesses.wrong(peer(1), now + FORGOTTEN_AFTER);
        assert_eq!(guesses.must_wait(peer(1), now + FORGOTTEN_AFTER), None);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let guesses = Guesses::default();
        for number in 0..2 * ADDRESSES_MAX as u32 {
            guesses.wrong(peer(number), Micros(i64::from(number)));
        }
        let known = guesses.lock();
        assert_eq!(known.len(), ADDRESSES_MAX);
        assert!(known.contains_key(&peer(2 * ADDRESSES_MAX as u32 - 1)));
        assert!(!known.contains_key(&peer(0)));
    }
}
