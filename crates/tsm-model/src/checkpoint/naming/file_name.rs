//! MIT's file names, which carry the settings that its files do not.
//!
//! ```text
//! TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50[_dense][_nl][_tpool].pth.tar
//!     dataset  modality arch  shift  place      segments
//! ```
//!
//! A name that does not follow the scheme says nothing; one that names what we do not run is refused.

use std::path::Path;

use crate::checkpoint::error::{Fault, shown};
use crate::shift::ShiftPlace;
use crate::spec::Backbone;

/// What a name in MIT's scheme says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checkpoint) struct NameFacts {
    pub(in crate::checkpoint) dataset: String,
    pub(in crate::checkpoint) backbone: Backbone,
    /// `shift_div` and place; `None` for a TSN.
    pub(in crate::checkpoint) shift: Option<(usize, ShiftPlace)>,
    pub(in crate::checkpoint) segments: Option<usize>,
    pub(in crate::checkpoint) is_dense: bool,
}

/// What the name of a file says, or, for the `ckpt.best.pth.tar` of MIT's training, its folder's.
pub(in crate::checkpoint) fn facts(path: &Path) -> Result<Option<NameFacts>, Fault> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    if !file.starts_with("ckpt") {
        return parse(&file);
    }
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    parse(&folder)
}

fn parse(name: &str) -> Result<Option<NameFacts>, Fault> {
    let mut name = name;
    while let Some(shorter) = [".tar", ".pth", ".pt", ".legacy", ".zip", ".safetensors", ".best"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
    {
        name = shorter;
    }
    let Some((_, scheme)) = name.split_once("TSM_") else {
        return Ok(None);
    };
    let tokens: Vec<&str> = scheme.split('_').collect();
    let [dataset, modality, arch, options @ ..] = tokens.as_slice() else {
        return Ok(None);
    };
    let unsupported = |what: String| Err(Fault::Unsupported(format!("{what}, says the file name")));
    match *modality {
        "RGB" => {}
        "Flow" => return unsupported("a network on optical flow (10 channels)".to_owned()),
        "RGBDiff" => return unsupported("a network on differences of frames".to_owned()),
        _ => return Ok(None),
    }
    if options.contains(&"nl") {
        return unsupported("a network with non-local blocks".to_owned());
    }
    if options.contains(&"tpool") {
        return unsupported("a network with temporal pooling".to_owned());
    }
    let Ok(backbone) = arch.parse::<Backbone>() else {
        return unsupported(format!("a {} (run are the ResNets and mobilenetv2)", shown(arch)));
    };
    Ok(Some(NameFacts {
        dataset: (*dataset).to_owned(),
        backbone,
        shift: shift(options)?,
        segments: options.iter().find_map(|token| token.strip_prefix("segment")?.parse().ok()),
        is_dense: options.contains(&"dense"),
    }))
}

fn shift(options: &[&str]) -> Result<Option<(usize, ShiftPlace)>, Fault> {
    let Some(at) = options.iter().position(|token| token.starts_with("shift")) else {
        return Ok(None);
    };
    let wrong =
        |what: &str| Fault::Contradiction(format!("the file name says `{}`, {what}", shown(options[at])));
    let div = options[at].trim_start_matches("shift").parse().ok().filter(|div| *div >= 2);
    let div =
        div.ok_or_else(|| wrong("but a two-way shift needs a divisor of at least 2; rename the file"))?;
    let place = match options.get(at + 1) {
        Some(&"blockres") => ShiftPlace::Blockres,
        Some(&"block") => ShiftPlace::Block,
        Some(other) if *other == "stage" || *other == "inplace" => {
            return Err(Fault::Unsupported(format!("a network shifted at `{other}`, says the file name")));
        }
        _ => return Err(wrong("but not where: `blockres` or `block` must follow; rename the file")),
    };
    Ok(Some((div, place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Option<NameFacts> {
        facts(Path::new(name)).unwrap()
    }

    #[test]
    fn the_schemes_parts_are_read() {
        let expected = NameFacts {
            dataset: "kinetics".to_owned(),
            backbone: Backbone::MobilenetV2,
            shift: Some((8, ShiftPlace::Blockres)),
            segments: Some(8),
            is_dense: true,
        };
        for end in ["", ".pth", ".pth.tar", ".legacy.pth", ".zip.pth.tar", ".best.pth.tar"] {
            let name = format!("TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense{end}");
            assert_eq!(read(&name), Some(expected.clone()), "{name}");
            assert_eq!(read(&format!("checkpoint/{name}/ckpt.best.pth.tar")), Some(expected.clone()));
        }
        let tsn = read("TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth").unwrap();
        assert_eq!((tsn.backbone, tsn.shift, tsn.segments), (Backbone::Resnet50, None, Some(5)));
        let block = read("x/TSM_something_RGB_resnet101_shift4_block_avg_segment16_e45.pth").unwrap();
        assert_eq!(block.shift, Some((4, ShiftPlace::Block)));
    }

    #[test]
    fn other_names_say_nothing() {
        for name in ["mobilenet_v2.pth", "ckpt.best.pth.tar", "TSM_", "TSM_a_b_c", "", "my-TSM.pth"] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_not_run_is_named() {
        for (name, says) in [
            ("TSM_kinetics_Flow_resnet50_shift8_blockres_avg_segment8_e50.pth", "optical flow"),
            ("TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense_nl.pth", "non-local"),
            ("TSM_kinetics_RGB_resnet50_shift8_blockres_tpool_avg_segment8_e50.pth", "temporal pooling"),
            ("TSM_kinetics_RGB_resnext101_32x4d_shift8_blockres_avg_segment8_e50.pth", "resnext101"),
            ("TSM_kinetics_RGB_BNInception_avg_segment8_e50.pth", "BNInception"),
            ("TSM_kinetics_RGB_resnet50_shift0_blockres_avg_segment8_e50.pth", "shift0"),
            ("TSM_kinetics_RGB_resnet50_shift8_avg_segment8_e50.pth", "blockres"),
        ] {
            let line = facts(Path::new(name)).unwrap_err().at(Path::new("f")).to_string();
            assert!(line.contains(says), "{line}");
        }
    }
}
