//! What a victim tells through its pipe.

use std::io::{ErrorKind, Read, Write};

/// One step of the victim. Commits of different threads may be told in another order than that of their versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is about to open.
    Opening,
    /// It has opened at this version.
    Opened(u64),
    /// The commit that made this version has returned.
    Returned(u64),
    /// And the operating system has it.
    Handed(u64),
    /// So much is promised to survive a power cut.
    Durable(u64),
    /// Something failed; reads go on at this version, and what is to be refused is refused.
    Refused(u64),
}

impl Word {
    /// One write to the pipe, so that none is cut in two but by the end. If nobody listens, the parent is gone.
    pub(crate) fn tell(self) {
        let (kind, version) = match self {
            Word::Opening => (0, 0),
            Word::Opened(version) => (1, version),
            Word::Returned(version) => (2, version),
            Word::Durable(version) => (3, version),
            Word::Refused(version) => (4, version),
            Word::Handed(version) => (5, version),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&u64::to_le_bytes(version));
        let mut pipe = std::io::stdout().lock();
        if pipe.write_all(&bytes).and_then(|()| pipe.flush()).is_err() {
            std::process::exit(2);
        }
    }

    /// None at the end of the pipe.
    pub(crate) fn hear(pipe: &mut impl Read) -> Option<Word> {
        let mut bytes = [0; 9];
        match pipe.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Err(error) => panic!("{error}"),
        }
        let version = u64::from_le_bytes(bytes[1..].try_into().unwrap());
        Some(match bytes[0] {
            0 => Word::Opening,
            1 => Word::Opened(version),
            2 => Word::Returned(version),
            3 => Word::Durable(version),
            4 => Word::Refused(version),
            5 => Word::Handed(version),
            kind => panic!("a word of the kind {kind}"),
        })
    }
}
