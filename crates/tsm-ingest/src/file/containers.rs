//! Asks a container's own headers how long the file must be.
//!
//! Only sizes are read, never media. Unknown sizes (recordings in progress) count as intact, and so does every file of
//! another kind: no false alarms.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

mod last_part;

/// How many boxes are looked at; fragmented mp4 files have thousands.
const MOST_BOXES: usize = 100_000;

/// One phrase of evidence that the file at `path` ends before its headers say.
pub(crate) fn cut_short(path: &Path) -> Option<String> {
    let (mut file, length, head) = opened(path)?;
    // What lies behind the last part nobody knows: how long the file should be is not to be told.
    let within_part = |is_cut: bool| is_cut.then(|| "it ends within its last part".to_owned());
    let promised = match &head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return boxes(&mut file, length)?.cut,
        [b'R', b'I', b'F', b'F', size @ .., b'A', b'V', b'I', b' '] => riff_end(*size),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska_end(&mut file)?,
        [b'B', b'M', s0, s1, s2, s3, 0, 0, 0, 0, _, _] => u64::from(u32::from_le_bytes([*s0, *s1, *s2, *s3])),
        [0x47, ..] => return within_part(last_part::is_transport_cut(&mut file, length, 0)?),
        [_, _, _, _, 0x47, ..] => return within_part(last_part::is_transport_cut(&mut file, length, 4)?),
        [b'F', b'L', b'V', 1, ..] => return within_part(last_part::is_flv_cut(&mut file, length)?),
        [b'D', b'K', b'I', b'F', ..] => return within_part(last_part::is_ivf_cut(&mut file, length)?),
        [b'O', b'g', b'g', b'S', 0, ..] => return within_part(last_part::is_ogg_cut(&mut file, length)?),
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] => last_part::asf_end(&mut file)?,
        _ => return None,
    };
    (promised > length).then(|| shortfall(length, promised))
}

/// The same, where nothing of the file can be played: an mp4 cut before its index, which stands at the end, and a GIF
/// cut anywhere, of which `avdemux_gif` gives no picture.
///
/// To be asked before the pipeline starts: on such an mp4 the pipeline sometimes ends in neither ERROR nor EOS (3 of 6
/// runs of the tests under load, `GStreamer` 1.22.0; probably `decodebin` swallows the demuxer's ERROR while it plugs),
/// and on such a GIF never.
pub(crate) fn unplayable(path: &Path) -> Option<String> {
    let (mut file, length, head) = opened(path)?;
    match head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            boxes(&mut file, length).filter(|found| found.index == Index::Absent)?.cut
        }
        [b'G', b'I', b'F', b'8', _, b'a', ..] => gif_cut(&mut BufReader::new(file)),
        _ => None,
    }
}

fn opened(path: &Path) -> Option<(File, u64, [u8; 12])> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut head = [0u8; 12];
    file.read_exact(&mut head).ok()?;
    Some((file, length, head))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Present,
    Absent,
}

/// What the top level of an ISO base media file shows.
struct Boxes {
    index: Index,
    cut: Option<String>,
}

fn shortfall(length: u64, promised: u64) -> String {
    format!("{length} of {promised} bytes")
}

/// ISO base media (ISO/IEC 14496-12, section 4.2): boxes of size and type, one after the other.
fn boxes(file: &mut File, length: u64) -> Option<Boxes> {
    let mut at = 0u64;
    let mut index = Index::Absent;
    for _ in 0..MOST_BOXES {
        if at >= length {
            break;
        }
        let Some((kind, size)) = box_header(file, at, length) else {
            let cut = (length - at < 8).then(|| "it ends within a header".to_owned());
            return Some(Boxes { index, cut });
        };
        if !kind.iter().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | 0xa9)) {
            return Some(Boxes { index, cut: None });
        }
        let end = at.checked_add(size).filter(|_| size >= 8)?;
        if end > length {
            return Some(Boxes { index, cut: Some(shortfall(length, end)) });
        }
        if kind == *b"moov" {
            index = Index::Present;
        }
        at = end;
    }
    let cut = (index == Index::Absent).then(|| "its index, the moov box, is missing".to_owned());
    Some(Boxes { index, cut })
}

/// Type and whole size of the box at `at`.
fn box_header(file: &mut File, at: u64, length: u64) -> Option<([u8; 4], u64)> {
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut header = [0u8; 8];
    file.read_exact(&mut header).ok()?;
    let [s0, s1, s2, s3, kind @ ..] = header;
    let size = match u32::from_be_bytes([s0, s1, s2, s3]) {
        0 => length - at,
        1 => {
            file.read_exact(&mut header).ok()?;
            u64::from_be_bytes(header)
        }
        size => u64::from(size),
    };
    Some((kind, size))
}

/// `GIF89a` (sections 17 to 27): after the screen and its colours come blocks of known kinds up to the trailer.
/// Evidence where the trailer is never reached, none where something unknown comes before it.
fn gif_cut(file: &mut (impl BufRead + Seek)) -> Option<String> {
    match gif_walked(file) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Some("it ends before its last block".to_owned())
        }
        Ok(_) | Err(_) => None,
    }
}

/// How many pictures the GIF at `path` holds; none where it is no GIF, cut, or has an unknown block before its trailer.
pub(crate) fn gif_pictures(path: &Path) -> Option<u64> {
    let (file, _, head) = opened(path)?;
    let is_gif = matches!(head, [b'G', b'I', b'F', b'8', _, b'a', ..]);
    let walked = is_gif.then(|| gif_walked(&mut BufReader::new(file)))?.ok()?;
    (walked.end == TRAILER).then_some(walked.pictures)
}

/// The byte that ends a GIF.
const TRAILER: u8 = 0x3b;

/// What a walk through a GIF met.
struct Walked {
    pictures: u64,
    /// The byte where a block of a known kind would begin.
    end: u8,
}

/// Walks from the first byte to the trailer, or to the first block of no known kind.
fn gif_walked(file: &mut (impl BufRead + Seek)) -> io::Result<Walked> {
    let mut pictures = 0;
    file.rewind()?;
    let screen: [u8; 13] = read_array(file)?;
    skip(file, colour_table_bytes(screen[10]))?;
    loop {
        match read_array(file)? {
            // An extension: its label, then sub-blocks.
            [0x21] => skip(file, 1)?,
            // A picture: its place, its colours and the size of its codes, then sub-blocks.
            [0x2c] => {
                let place: [u8; 9] = read_array(file)?;
                skip(file, colour_table_bytes(place[8]) + 1)?;
                pictures += 1;
            }
            [end] => return Ok(Walked { pictures, end }),
        }
        loop {
            match read_array(file)? {
                [0] => break,
                [size] => skip(file, u64::from(size))?,
            }
        }
    }
}

/// The size of the colour table that such flags announce.
fn colour_table_bytes(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn read_array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads over so many bytes; seeking would not notice the end.
fn skip(file: &mut impl Read, count_bytes: u64) -> io::Result<()> {
    match io::copy(&mut file.take(count_bytes), &mut io::sink())? {
        copied if copied == count_bytes => Ok(()),
        _fewer => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// RIFF: the size counts from after itself; 0 and the largest mean unknown.
fn riff_end(size: [u8; 4]) -> u64 {
    match u32::from_le_bytes(size) {
        0 | u32::MAX => 0,
        size => u64::from(size) + 8,
    }
}

/// EBML (RFC 8794): the header element, then the segment, whose size counts from after its own header.
fn matroska_end(file: &mut File) -> Option<u64> {
    file.seek(SeekFrom::Start(4)).ok()?;
    let header = element_size(file)?;
    file.seek(SeekFrom::Current(i64::try_from(header).ok()?)).ok()?;
    let mut id = [0u8; 4];
    file.read_exact(&mut id).ok()?;
    if id != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let size = element_size(file)?;
    file.stream_position().ok()?.checked_add(size)
}

/// A variable-length size; `None` where it is 'unknown' (all ones) or broken.
fn element_size(file: &mut File) -> Option<u64> {
    let mut byte = [0u8; 1];
    file.read_exact(&mut byte).ok()?;
    let more = byte[0].leading_zeros();
    if more > 7 {
        return None;
    }
    let mask = 0xffu8.checked_shr(more + 1).unwrap_or(0);
    let mut size = u64::from(byte[0] & mask);
    for _ in 0..more {
        file.read_exact(&mut byte).ok()?;
        size = size << 8 | u64::from(byte[0]);
    }
    let unknown = (1u64 << (7 * (more + 1))) - 1;
    (size != unknown).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::{cut_short, gif_cut, gif_pictures};

    fn evidence(bytes: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        cut_short(&path)
    }

    /// A picture of one pixel.
    fn gif() -> Vec<u8> {
        [
            b"GIF89a\x01\0\x01\0\x80\0\0".as_slice(),
            b"\0\0\0\xff\xff\xff",
            b"\x21\xf9\x04\0\0\0\0\0",
            b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0",
            b"\x3b",
        ]
        .concat()
    }

    #[test]
    fn the_pictures_of_a_gif_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gif");
        let counted = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            gif_pictures(&path)
        };
        let gif = gif();
        let (screen, blocks) = (&gif[..19], &gif[19..gif.len() - 1]);
        assert_eq!(counted(&gif), Some(1));
        assert_eq!(counted(&[screen, &blocks.repeat(3), b"\x3b"].concat()), Some(3));
        assert_eq!(counted(&[screen, blocks, b"unknown"].concat()), None);
        assert_eq!(counted(&gif[..gif.len() - 1]), None);
    }

    #[test]
    fn a_gif_ends_with_its_trailer() {
        let gif = gif();
        let evidence = |bytes: &[u8]| gif_cut(&mut std::io::Cursor::new(bytes));
        assert_eq!(evidence(&gif), None);
        for length in 13..gif.len() {
            assert!(evidence(&gif[..length]).is_some(), "{length} bytes");
        }
        assert_eq!(evidence(&[&gif[..27], b"unknown".as_slice()].concat()), None);
    }

    #[test]
    fn a_bitmap_says_its_size() {
        let mut bitmap = b"BM\x40\0\0\0\0\0\0\0\x36\0".to_vec();
        bitmap.resize(64, 0);
        assert_eq!(evidence(&bitmap), None);
        assert_eq!(evidence(&bitmap[..50]).unwrap(), "50 of 64 bytes");
    }
}
