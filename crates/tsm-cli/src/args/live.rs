//! The flags of the commands that look at cameras and files: `live`, `devices`, `doctor`.

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::device::AutoDeviceArgs;
use super::{Fps, ModelArgs, Precision, values};

#[derive(Debug, Args)]
pub(crate) struct LiveArgs {
    /// webcam, webcam:1 or 1, /dev/video0, rtsp://…, a file, any GStreamer URI, or test:
    #[arg(value_name = "SOURCE", required_unless_present = "pipeline")]
    pub(crate) sources: Vec<OsString>,
    /// How labels are written on stdout
    #[arg(long, default_value = "text")]
    pub(crate) format: FormatArg,
    /// Frames a second that the model sees, or `all` [default: as the model was trained, else 12]
    #[arg(long, value_name = "F|all", allow_negative_numbers = true)]
    pub(crate) fps: Option<Fps>,
    /// Classes in the ranking
    #[arg(long, default_value = "5", value_name = "K", allow_negative_numbers = true, value_parser = values::count::<NonZeroUsize>)]
    pub(crate) top_k: NonZeroUsize,
    /// A GStreamer launch template of your own that ends in `appsink name=tsm`; see pipelines/
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Stop after N labelled frames, over all sources
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::count::<NonZeroU64>)]
    pub(crate) frames: Option<NonZeroU64>,
    /// Open a window with the picture, the label and a bar
    #[arg(long)]
    pub(crate) show: bool,
    /// Play a file at its own speed instead of as fast as possible
    #[arg(long)]
    pub(crate) realtime: bool,
    #[command(flatten)]
    pub(crate) device: AutoDeviceArgs,
    /// What is computed in; f16 on a GPU alone
    #[arg(long, default_value = "f32")]
    pub(crate) data_type: Precision,
    #[command(flatten)]
    pub(crate) decision: DecisionArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// A line that lives on a terminal, plain lines otherwise
    Text,
    /// JSON Lines: one object a frame
    Jsonl,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Decision")]
pub(crate) struct DecisionArgs {
    /// Frames whose logits are averaged; 1 for none [default: about one second of frames]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::window)]
    pub(crate) window: Option<NonZeroUsize>,
    /// Agreeing frames before the label changes [default: the model's, else 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::count::<NonZeroUsize>)]
    pub(crate) confirm: Option<NonZeroUsize>,
    /// When the label changes
    #[arg(long, default_value = "confirm")]
    pub(crate) decision: DecisionArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecisionArg {
    /// After --confirm agreeing frames
    Confirm,
    /// As MIT's demo of 27 gestures does it
    Mit,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// How RTSP media comes
    #[arg(long, default_value = "tcp")]
    pub(crate) transport: TransportArg,
    /// How long to wait for a source's first frame
    #[arg(long, default_value = "10", value_name = "SECONDS", allow_negative_numbers = true, value_parser = values::seconds)]
    pub(crate) connect_timeout: Duration,
    /// How long a live source may be silent before it is rebuilt
    #[arg(long, default_value = "5", value_name = "SECONDS", allow_negative_numbers = true, value_parser = values::seconds)]
    pub(crate) stall_timeout: Duration,
    /// Attempts in a row after which a live source is given up [default: never]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::retries)]
    pub(crate) retries: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TransportArg {
    /// Interleaved in the RTSP connection
    Tcp,
    /// Datagrams
    Udp,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Look at this source, too: codec, size, frame rate, capture clock
    pub(crate) source: Option<OsString>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}
