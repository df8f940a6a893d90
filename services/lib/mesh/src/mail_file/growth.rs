//! How far what is packed may grow: mail shrinks to a third or a tenth. What grows to hundreds of times its size was made to
//! keep somebody busy.

use std::{
    cell::Cell,
    io::{self, Error, ErrorKind, Read},
    rc::Rc,
};

/// So many times its packed size, and this much whatever that is.
const RATIO_MAX: u64 = 200;
const FREE_BYTES: u64 = 64 * 1024 * 1024;

/// Octets of one file, as it comes and as it is read.
#[derive(Clone, Default)]
pub(super) struct Growth(Rc<Counts>);

#[derive(Default)]
struct Counts {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
}

impl Growth {
    /// Counts what comes.
    pub(super) fn packed<R>(&self, inner: R) -> Packed<R> {
        Packed { inner, counts: Rc::clone(&self.0) }
    }

    /// Counts what is read, and ends with [`ErrorKind::InvalidData`] when that is too much.
    pub(super) fn unpacked<R>(&self, inner: R) -> Unpacked<R> {
        Unpacked { inner, counts: Rc::clone(&self.0) }
    }

    /// Too much was read of too little.
    pub(super) fn is_beyond(&self) -> bool {
        self.0.is_beyond()
    }
}

impl Counts {
    fn is_beyond(&self) -> bool {
        self.unpacked.get() > FREE_BYTES.saturating_add(self.packed.get().saturating_mul(RATIO_MAX))
    }
}

pub(super) struct Packed<R> {
    inner: R,
    counts: Rc<Counts>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.counts.packed.set(self.counts.packed.get().saturating_add(count as u64));
        Ok(count)
    }
}

pub(super) struct Unpacked<R> {
    inner: R,
    counts: Rc<Counts>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.counts.unpacked.set(self.counts.unpacked.get().saturating_add(count as u64));
        if self.counts.is_beyond() {
            return Err(Error::new(ErrorKind::InvalidData, "the archive grows out of all proportion"));
        }
        Ok(count)
    }
}
