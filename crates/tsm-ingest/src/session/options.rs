//! What the caller chooses of a session: how media travel, how long is waited, how fast a recording is read.

use std::time::Duration;

/// How a session is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// How RTSP media travel.
    pub transport: Transport,
    /// How long a host may take to answer before the session fails.
    pub connect_timeout: Duration,
    /// How fast recorded sources are read.
    pub pace: Pace,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            transport: Transport::Tcp,
            connect_timeout: Duration::from_secs(10),
            pace: Pace::AsFastAsPossible,
        }
    }
}

/// How RTSP media travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Inside the RTSP connection: no losses, passes every firewall the connection passes.
    #[default]
    Tcp,
    /// As UDP packets: losses instead of delay.
    Udp,
}

/// How fast recorded sources are read; live sources have their own pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Limited by the consumer only.
    #[default]
    AsFastAsPossible,
    /// A frame is delivered when its PTS is due.
    RealTime,
}
