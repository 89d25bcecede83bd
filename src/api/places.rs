//! Places: so many for all clients together, so many for each. What takes part gives its place back when it is dropped.
//!
//! A client is an address: of IPv6 its first 64 bits, since whoever has one such address has all of them (RFC 6177).

use prometheus::IntGauge;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where there is no place left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Full {
    /// This client has all that one client may have.
    Client {
        /// How many that is.
        max: usize,
    },
    /// All clients together have all there are.
    All {
        /// How many that is.
        max: usize,
    },
}

/// The places of one kind.
#[derive(Debug)]
pub(in crate::api) struct Places {
    max: usize,
    client_max: usize,
    taken: Mutex<Taken>,
    gauge: IntGauge,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Clients with at least one place: never more than `all`.
    clients: HashMap<IpAddr, usize>,
}

/// One place or several, until it is dropped.
#[derive(Debug)]
pub(in crate::api) struct Permit {
    places: Arc<Places>,
    client: IpAddr,
    count: Mutex<usize>,
}

impl Places {
    /// `max` places, of which a client may have `client_max`; `gauge` shows how many are taken.
    pub(in crate::api) fn new(max: usize, client_max: usize, gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            max,
            client_max,
            taken: Mutex::default(),
            gauge,
        })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When there is none left.
    pub(in crate::api) fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Full> {
        let client = client(peer);
        self.take(client, 1)?;
        Ok(Permit {
            places: Arc::clone(self),
            client,
            count: Mutex::new(1),
        })
    }

    fn take(&self, client: IpAddr, count: usize) -> Result<(), Full> {
        let mut taken = lock(&self.taken);
        if taken.all + count > self.max {
            return Err(Full::All { max: self.max });
        }
        let of_client = taken.clients.get(&client).copied().unwrap_or(0) + count;
        if of_client > self.client_max {
            let max = self.client_max;
            return Err(Full::Client { max });
        }
        taken.clients.insert(client, of_client);
        taken.all += count;
        self.gauge.set(taken.all as i64);
        Ok(())
    }

    fn give_back(&self, client: IpAddr, count: usize) {
        let mut taken = lock(&self.taken);
        taken.all -= count;
        self.gauge.set(taken.all as i64);
        let left = taken.clients.get(&client).map_or(0, |all| all - count);
        if left == 0 {
            taken.clients.remove(&client);
        } else {
            taken.clients.insert(client, left);
        }
    }
}

impl Permit {
    /// Takes so many places more.
    ///
    /// # Errors
    /// When there are not so many left; it keeps those it has.
    pub(in crate::api) fn widen(&self, more: usize) -> Result<(), Full> {
        self.places.take(self.client, more)?;
        *lock(&self.count) += more;
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let count = *lock(&self.count);
        self.places.give_back(self.client, count);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is behind an address.
pub(in crate::api) fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(max: usize, client_max: usize) -> (Arc<Places>, IntGauge) {
        let gauge = IntGauge::new("places", "Places").unwrap();
        (Places::new(max, client_max, gauge.clone()), gauge)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_never_takes_all_and_what_is_given_back_is_there_again() {
        let (places, gauge) = places(3, 2);
        let one = places.enter(ip("10.0.0.1")).unwrap();
        let two = places.enter(ip("::ffff:10.0.0.1")).unwrap();
        let full = Full::Client { max: 2 };
        assert_eq!(places.enter(ip("10.0.0.1")).unwrap_err(), full);
        let other = places.enter(ip("10.0.0.2")).unwrap();
        let full = Full::All { max: 3 };
        assert_eq!(places.enter(ip("10.0.0.3")).unwrap_err(), full);
        assert_eq!(gauge.get(), 3);
        drop((one, other));
        assert_eq!(gauge.get(), 1);
        two.widen(1).unwrap();
        assert_eq!(two.widen(1).unwrap_err(), Full::Client { max: 2 });
        assert_eq!(gauge.get(), 2, "what was refused was not taken");
        drop(two);
        assert_eq!(gauge.get(), 0);
        assert!(
            lock(&places.taken).clients.is_empty(),
            "nothing is left behind"
        );
    }

    #[test]
    fn whoever_has_an_ipv6_network_is_one_client() {
        let (places, _) = places(9, 1);
        let _one = places.enter(ip("2001:db8:1:2::1")).unwrap();
        assert!(places.enter(ip("2001:db8:1:2:ffff::9")).is_err());
        assert!(places.enter(ip("2001:db8:1:3::1")).is_ok());
    }
}
