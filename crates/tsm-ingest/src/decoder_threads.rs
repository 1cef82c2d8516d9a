//! How many threads a decoder of libav may have.
//!
//! ```text
//!  decodebin ── adds avdec_h264 ──> max-threads, unless it was set ── opens on its first caps
//! ```
//!
//! Left alone, libav takes a thread a core and reads as many pictures of a file ahead, which costs the memory of those
//! pictures, 1.4 MB each at 720p. A few threads decode fast enough; fewer than the cores of a small machine would hold
//! up a file of which only some frames are stepped (1080p on two cores: a sixth more time with one thread than with
//! two). A live stream is not read ahead at all: there the threads share one picture, if it has slices.

use std::num::NonZeroUsize;
use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;

/// Pictures that are read ahead at most, where there are many cores.
const MOST: usize = 8;

/// The property's name, and what it is where nobody has set it.
const PROPERTY: &str = "max-threads";
const UNSET: i32 = 0;

/// Sees to the decoders that `decodebin` is going to add; one that stands in a template has what the template says.
pub(crate) fn limit(pipeline: &gst::Pipeline) {
    pipeline.connect_deep_element_added(|_, _, element| limit_one(element));
}

fn limit_one(element: &gst::Element) {
    let is_libav = element.factory().is_some_and(|factory| factory.name().starts_with("avdec_"));
    if is_libav
        && element.has_property_with_type(PROPERTY, i32::static_type())
        && element.property::<i32>(PROPERTY) == UNSET
    {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        element.set_property(PROPERTY, threads(cores));
    }
}

/// A thread a core, but few of many.
fn threads(cores: usize) -> i32 {
    i32::try_from(cores.clamp(1, MOST)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_decodes_but_few_of_many() {
        assert_eq!([1, 2, 3, 4, 8, 64].map(threads), [1, 2, 3, 4, 8, 8]);
    }

    #[test]
    fn a_decoder_that_decodebin_adds_is_limited() {
        crate::init().unwrap();
        let pipeline = gst::Pipeline::new();
        limit(&pipeline);
        let (bin, decoder) = (gst::Bin::new(), gst::ElementFactory::make("avdec_h264").build().unwrap());
        pipeline.add(&bin).unwrap();
        bin.add(&decoder).unwrap();
        let cores = thread::available_parallelism().unwrap().get();
        assert_eq!(decoder.property::<i32>(PROPERTY), threads(cores));
    }

    #[test]
    fn a_decoder_of_a_users_template_stays_as_it_stands_there() {
        crate::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let template = folder.path().join("own.launch");
        for (words, expected) in [("avdec_h264", UNSET), ("avdec_h264 max-threads=7", 7)] {
            let launch = format!("filesrc location=absent ! h264parse ! {words} name=own ! appsink name=tsm");
            std::fs::write(&template, launch).unwrap();
            let source = crate::Source::custom(&template, None).unwrap();
            let built = crate::pipeline::build(&source, &crate::SessionOptions::default()).unwrap();
            let decoder = built.pipeline.by_name("own").unwrap();
            assert_eq!(decoder.property::<i32>(PROPERTY), expected);
        }
    }
}
