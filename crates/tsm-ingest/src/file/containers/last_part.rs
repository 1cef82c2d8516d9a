//! Containers that are a chain of parts and say nowhere how long they are: what ends within a part was cut.
//!
//! ```text
//!  head ─ part (size) ─ part (size) ─ … ─ part (si|     the end that the last one asks for lies behind the file's
//! ```
//!
//! Each function tells whether the last part that has begun is cut, `None` where something else is met first: no false
//! alarms. Whole parts that are missing leave no trace here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// How many parts are looked at: a day of Flash video has six million.
const MOST_PARTS: usize = 10_000_000;

/// MPEG transport stream (ISO/IEC 13818-1, section 2.4.3): packets of 188 bytes that begin with 0x47. Camcorders and
/// Blu-ray discs (`.m2ts`) write the time of arrival before each, 4 bytes.
pub(super) fn is_transport_cut(file: &mut File, length: u64, stamp_bytes: u64) -> Option<bool> {
    const SYNC: [u8; 1] = [0x47];
    let packet_bytes = stamp_bytes + 188;
    let whole = length / packet_bytes;
    for packet in [1, 2, whole.checked_sub(1)?] {
        if array_at(file, packet * packet_bytes + stamp_bytes)? != SYNC {
            return None;
        }
    }
    // What follows the last whole packet may be something else.
    Some(array_at(file, whole * packet_bytes + stamp_bytes) == Some(SYNC))
}

/// Flash video (Adobe's specification, annex E): tags of sound, pictures and scripts.
pub(super) fn is_flv_cut(file: &mut File, length: u64) -> Option<bool> {
    /// Kind, size, time and stream.
    const HEAD_BYTES: u64 = 11;
    /// The size once more, which some writers leave out behind the last tag.
    const BEHIND_BYTES: u64 = 4;
    let mut at = u64::from(u32::from_be_bytes(array_at(file, 5)?)) + BEHIND_BYTES;
    for _ in 0..MOST_PARTS {
        if at >= length {
            return Some(false);
        }
        let [kind] = array_at(file, at)?;
        if !matches!(kind & 0x1f, 8 | 9 | 18) {
            return None;
        }
        let Some([s0, s1, s2]) = array_at(file, at + 1) else { return Some(true) };
        let end = at + HEAD_BYTES + u64::from(u32::from_be_bytes([0, s0, s1, s2]));
        if end > length {
            return Some(true);
        }
        at = end + BEHIND_BYTES;
    }
    None
}

/// IVF (VP8, VP9 and AV1 as their encoders write them): frames behind a head that tells its own size.
pub(super) fn is_ivf_cut(file: &mut File, length: u64) -> Option<bool> {
    /// Size and time.
    const HEAD_BYTES: u64 = 12;
    let mut at = u64::from(u16::from_le_bytes(array_at(file, 6)?));
    for _ in 0..MOST_PARTS {
        if at >= length {
            return Some(at > length);
        }
        let Some(size) = array_at(file, at) else { return Some(true) };
        at += HEAD_BYTES + u64::from(u32::from_le_bytes(size));
    }
    None
}

/// Where Windows Media ends (ASF, sections 3 and 5), but for an index: a head, then one object with all packets. Its
/// size is smaller than that where it was not known, as in a broadcast.
pub(super) fn asf_end(file: &mut File) -> Option<u64> {
    const DATA: [u8; 16] =
        [0x36, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0x00, 0xaa, 0x00, 0x62, 0xce, 0x6c];
    let data_at = u64::from_le_bytes(array_at(file, 16)?);
    let found: [u8; 16] = array_at(file, data_at)?;
    let size = u64::from_le_bytes(array_at(file, data_at + 16)?);
    (found == DATA).then(|| data_at.checked_add(size))?
}

/// Ogg (RFC 3533, section 6): pages, of which the last one is looked for from the end.
pub(super) fn is_ogg_cut(file: &mut File, length: u64) -> Option<bool> {
    /// The longest page: its head, 255 lengths, and 255 bytes for each.
    const LONGEST_BYTES: u64 = 27 + 255 + 255 * 255;
    let start = length.saturating_sub(LONGEST_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut tail = Vec::new();
    file.take(LONGEST_BYTES).read_to_end(&mut tail).ok()?;
    // Behind the mark come version 0 and three flags.
    let is_page = |bytes: &[u8]| matches!(bytes, [b'O', b'g', b'g', b'S', 0, 0..=7]);
    let at = tail.windows(6).rposition(is_page)?;
    let page = tail.get(at..)?;
    let page_at = start + u64::try_from(at).ok()?;
    let Some(lengths) = page.get(26).and_then(|&count| page.get(27..27 + usize::from(count))) else {
        // Not even the lengths are there.
        return Some(true);
    };
    let body: u64 = lengths.iter().copied().map(u64::from).sum();
    Some(page_at + 27 + u64::try_from(lengths.len()).ok()? + body > length)
}

/// So many bytes at a place; none where the file ends before.
fn array_at<const N: usize>(file: &mut File, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0u8; N];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::cut_short;

    /// Whether the file of these bytes ends early.
    fn is_cut(bytes: &[u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        cut_short(&path).is_some()
    }

    /// Cuts `bytes` everywhere behind the head: early at each place but where a part ends.
    fn check(bytes: &[u8], head: usize, whole: &[usize]) {
        for length in head..=bytes.len() {
            assert_eq!(is_cut(&bytes[..length]), !whole.contains(&length), "{length} bytes");
        }
    }

    #[test]
    fn a_transport_stream_ends_with_a_whole_packet() {
        let packet = [[0x47u8; 1].as_slice(), &[0; 187]].concat();
        let whole = packet.repeat(5);
        check(&whole, 188 * 3, &[188 * 3, 188 * 4, 188 * 5]);
        assert!(!is_cut(&[whole, vec![0; 30]].concat()), "padding is no packet");
        assert!(!is_cut(&[b"GIF89a".as_slice(), &[0; 400]].concat()));
        let stamped = [[0, 1, 2, 3].as_slice(), &packet].concat().repeat(5);
        assert!(!is_cut(&stamped) && is_cut(&stamped[..192 * 4 + 120]));
    }

    #[test]
    fn flash_video_ends_with_a_tag() {
        let tag = |kind: u8| [&[kind, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0][..], b"video", &[0, 0, 0, 16]].concat();
        let head = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
        let flv = [&head[..], &tag(18), &tag(9), &tag(8)].concat();
        // The size behind a tag may be left out.
        let whole: Vec<usize> = [0, 20, 40, 60].iter().flat_map(|end| 9 + end..=13 + end).collect();
        check(&flv, 13, &whole);
        assert!(!is_cut(&[&flv[..], &[0xff; 30]].concat()), "what follows is no tag");
        let half_an_hour = [&head[..], &tag(8).repeat(150_000)].concat();
        assert!(!is_cut(&half_an_hour) && is_cut(&half_an_hour[..half_an_hour.len() - 9]));
    }

    #[test]
    fn ivf_ends_with_a_frame() {
        let frame = [&[5, 0, 0, 0][..], &[0; 8], b"video"].concat();
        let head = [b"DKIF\0\0\x20\0VP80".as_slice(), &[0; 20]].concat();
        check(&[&head[..], &frame, &frame].concat(), 32, &[32, 49, 66]);
    }

    #[test]
    fn windows_media_ends_with_its_packets() {
        let object = |id: &[u8; 16], size: u64, body: &[u8]| [&id[..], &size.to_le_bytes(), body].concat();
        let head = object(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c", 30, &[0; 6]);
        let data = b"\x36\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c";
        let packets = |size| [head.clone(), object(data, size, &[0; 40])].concat();
        check(&packets(64), 54, &[94]);
        assert!(!is_cut(&[packets(64), vec![0; 50]].concat()), "an index follows");
        assert!(!is_cut(&packets(0)) && !is_cut(&packets(50)), "the size was not known");
    }

    #[test]
    fn ogg_ends_with_a_page() {
        let page = [b"OggS\0\x02".as_slice(), &[0; 20], &[2, 255, 3], &[7; 258]].concat();
        let (one, two) = (page.len(), 2 * page.len());
        // A mark that is not whole is no page.
        let whole: Vec<usize> = [one, two].iter().flat_map(|end| *end..*end + 6).collect();
        check(&page.repeat(2), 33, &whole);
    }
}
