//! Whether a batch fits into the memory of this machine, before the system would end the process for it.

use tsm_model::{Architecture, ModelSpec};

/// Part of what is free that a batch may take; the rest of the machine goes on living.
const SHARE_PERCENT: u64 = 60;

/// Bytes on the host that a step of `streams` streams takes at most, roughly.
///
/// Frames and states twice (ours, the executor's), and, on a CPU,
/// the widest layer in and out with room for the patches of one.
pub(crate) fn host_bytes(spec: &ModelSpec, streams: usize, is_cpu: bool) -> u64 {
    let network = Architecture::of(spec);
    let size = spec.input.size_px;
    let states: usize =
        network.state_shapes(&spec.shift, size).iter().map(|shape| shape.iter().product::<usize>()).sum();
    let mut floats = 2 * (3 * size * size + states);
    if is_cpu {
        floats += 6 * widest_layer(&network, size);
    }
    (floats * size_of::<f32>() * streams) as u64
}

/// Values of the largest feature map.
fn widest_layer(network: &Architecture, size_px: usize) -> usize {
    let mut side = network.stem.out_side(size_px);
    let mut widest = network.stem.out_channels * side * side;
    side = network.after_stem(size_px);
    for block in &network.blocks {
        for conv in &block.convs {
            side = conv.out_side(side);
            widest = widest.max(conv.out_channels * side * side);
        }
    }
    widest
}

/// Why `bytes` are too many for this machine; none where they fit, or where the system does not tell.
pub(crate) fn too_many(bytes: u64) -> Option<String> {
    let free = available_bytes(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    (bytes > free / 100 * SHARE_PERCENT)
        .then(|| format!("needs about {} MiB of memory, {} MiB are free", bytes >> 20, free >> 20))
}

fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use tsm_model::Backbone;

    use super::*;

    #[test]
    fn free_memory_is_read_as_the_system_writes_it() {
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available_bytes("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn a_batch_costs_as_many_times_as_it_has_streams() {
        let spec = ModelSpec::new(Backbone::Resnet50, 400);
        assert_eq!(host_bytes(&spec, 256, true), 256 * host_bytes(&spec, 1, true));
        assert!(host_bytes(&spec, 1, true) > host_bytes(&spec, 1, false));
    }
}
