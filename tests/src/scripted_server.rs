//! An RTSP server that says what a test tells it to and never sends a picture.
//!
//! Speaks just enough of RFC 2326 for a client to believe it; a real one is in `rtsp_camera.rs`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

/// A description with one H.264 stream.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                   a=rtpmap:96 H264/90000\r\na=control:track1\r\n";

/// What follows PLAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterPlay {
    /// The connection is closed.
    Close,
    /// Nothing, for ever.
    Silence,
}

/// A listening server; its thread ends with the test's process.
#[derive(Debug)]
pub struct ScriptedServer {
    port: u16,
}

#[derive(Debug, Clone, Copy)]
struct Script {
    refused: Option<(&'static str, &'static str)>,
    after_play: AfterPlay,
}

impl ScriptedServer {
    /// A server that answers everything, and then this.
    pub fn after_play(after_play: AfterPlay) -> Self {
        Self::start(Script { refused: None, after_play })
    }

    /// A server that answers requests of one method with a status such as `454 Session Not Found`.
    pub fn refusing(method: &'static str, status: &'static str) -> Self {
        Self::start(Script { refused: Some((method, status)), after_play: AfterPlay::Silence })
    }

    /// A server that sends whoever asks for its description to an address with a password, where nobody listens.
    pub fn redirecting() -> Self {
        Self::refusing(
            "DESCRIBE",
            "302 Moved Temporarily\r\nLocation: rtsp://user:secret@127.0.0.1:1/elsewhere",
        )
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }

    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A client that went away is what these tests are about.
                std::thread::spawn(move || serve(&client, script).is_ok());
            }
        });
        Self { port }
    }
}

fn serve(mut client: &TcpStream, script: Script) -> std::io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    while let Some(request) = lines.next().transpose()? {
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        let mut sequence = "0".to_owned();
        for header in lines.by_ref() {
            let header = header?;
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("CSeq:") {
                value.trim().clone_into(&mut sequence);
            }
        }
        client.write_all(answer(&method, &sequence, script).as_bytes())?;
        if method == "PLAY" && script.after_play == AfterPlay::Close {
            return client.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn answer(method: &str, sequence: &str, script: Script) -> String {
    if let Some((_, status)) = script.refused.filter(|(refused, _)| *refused == method) {
        return format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n\r\n");
    }
    let (headers, body) = match method {
        "OPTIONS" => ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".to_owned(), ""),
        "DESCRIBE" => (format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", SDP.len()), SDP),
        "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n".to_owned(), ""),
        _ => ("Session: 1\r\n".to_owned(), ""),
    };
    format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{headers}\r\n{body}")
}
