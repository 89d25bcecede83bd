//! What cases went through, to see that they go through everything.

/// What a case went through, to see that the cases go through everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failed: u64,
    pub(crate) frames: u64,
    pub(crate) taken: u64,
    pub(crate) listed: u64,
    pub(crate) served: u64,
    pub(crate) overwritten: u64,
    pub(crate) shed: u64,
    /// Lives of volumes whose disk is slow now and then.
    pub(crate) slow: u64,
    pub(crate) quarantined: u64,
    pub(crate) moved: u64,
    pub(crate) replayed: u64,
    pub(crate) rebuilt: u64,
    pub(crate) refused: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.failed += other.failed;
        self.frames += other.frames;
        self.taken += other.taken;
        self.listed += other.listed;
        self.served += other.served;
        self.overwritten += other.overwritten;
        self.shed += other.shed;
        self.slow += other.slow;
        self.quarantined += other.quarantined;
        self.moved += other.moved;
        self.replayed += other.replayed;
        self.rebuilt += other.rebuilt;
        self.refused += other.refused;
    }
}
