//! What the targets share: decisions and cuts that come out of the fuzzer's octets.

/// Octets at the begin of an input that decide; the rest is what a peer sends.
const DECISIONS_MAX: usize = 16;

/// Decisions. When they are used up they begin anew.
#[derive(Clone, Debug)]
pub struct Dice<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Dice<'a> {
    /// Parts an input into decisions and what the peer sends.
    #[must_use]
    pub fn part(input: &'a [u8]) -> (Self, &'a [u8]) {
        let (octets, sent) = input.split_at(input.len().min(DECISIONS_MAX));
        (Self { octets, at: 0 }, sent)
    }

    /// 0 to `sides` - 1; `sides` is 1 to 256.
    pub fn roll(&mut self, sides: usize) -> usize {
        let octet = self.octets.get(self.at).copied().unwrap_or_default();
        self.at = (self.at + 1) % self.octets.len().max(1);
        usize::from(octet) % sides
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.roll(2) == 1
    }

    /// Cuts what is sent into pieces, as a network would.
    #[must_use]
    pub fn pieces<'b>(&mut self, sent: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        let mut rest = sent;
        while !rest.is_empty() {
            let length = match self.roll(4) {
                0 => 1,
                1 => 1 + self.roll(7),
                2 => 1 + self.roll(64),
                _ => 1 + 8 * self.roll(256),
            };
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}
