//! A web server: a camera that sends one JPEG after the other, to be hung up, silenced and mended; or a file.
//!
//! ```text
//!  GET ── 200 multipart/x-mixed-replace ── --frame, JPEG ── --frame, JPEG ── …   as long as it `Sends::Pictures`
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::media;

/// Between two pictures of the camera: 25 a second.
const PICTURE_INTERVAL: Duration = Duration::from_millis(40);

/// What the server does from now on, also on connections that are open.
#[derive(Debug, Clone)]
pub enum Sends {
    /// One picture after the other.
    Pictures,
    /// Nothing, and keeps the connection.
    Silence,
    /// Hangs up, and answers with 503.
    Refusals,
    /// This file, and then the end.
    File(Arc<[u8]>),
}

/// A listening server; its threads end with the test's process.
#[derive(Debug)]
pub struct HttpServer {
    port: u16,
    sends: Arc<Mutex<Sends>>,
}

impl HttpServer {
    /// A camera that sees a clip over and over.
    ///
    /// # Panics
    /// If ffmpeg is missing or refuses.
    pub fn camera(clip: &Path) -> Self {
        let film = media::ffmpeg(clip, "-an -vf scale=320:240 -q:v 5 -f mjpeg", "http-camera.mjpeg");
        let film = std::fs::read(film).expect("it was made just now");
        Self::start(Sends::Pictures, pictures(&film))
    }

    /// A server of one file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn file(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a file to be served is there");
        Self::start(Sends::File(bytes.into()), Vec::new())
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/video", self.port)
    }

    /// Changes what it does.
    pub fn change(&self, sends: Sends) {
        *self.sends.lock().unwrap_or_else(PoisonError::into_inner) = sends;
    }

    fn start(sends: Sends, pictures: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let sends = Arc::new(Mutex::new(sends));
        let (shared, pictures) = (Arc::clone(&sends), Arc::new(pictures));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (sends, pictures) = (Arc::clone(&shared), Arc::clone(&pictures));
                // A client that went away is what these tests are about.
                std::thread::spawn(move || serve(&client, &sends, &pictures).is_ok());
            }
        });
        Self { port, sends }
    }
}

fn serve(mut client: &TcpStream, sends: &Mutex<Sends>, pictures: &[Vec<u8>]) -> std::io::Result<()> {
    let now = || sends.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut lines = BufReader::new(client).lines().map_while(Result::ok);
    // Closed with a request unread, the connection would be reset, answer and all.
    let _end_of_request = lines.find(String::is_empty);
    match now() {
        Sends::Refusals => {
            return client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
        Sends::File(bytes) => {
            write!(
                client,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            )?;
            return client.write_all(&bytes);
        }
        Sends::Pictures | Sends::Silence => {}
    }
    let kind = "multipart/x-mixed-replace; boundary=frame";
    write!(client, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\n\r\n")?;
    for picture in pictures.iter().cycle() {
        match now() {
            Sends::Pictures => {
                let length = picture.len();
                write!(client, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n")?;
                client.write_all(picture)?;
                client.write_all(b"\r\n")?;
            }
            Sends::Silence => {}
            Sends::Refusals | Sends::File(_) => break,
        }
        std::thread::sleep(PICTURE_INTERVAL);
    }
    Ok(())
}

/// The pictures of a film of JPEGs: each begins with the two bytes that stand nowhere within one.
fn pictures(film: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> =
        film.windows(2).enumerate().filter(|(_, bytes)| *bytes == [0xff, 0xd8]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([film.len()]);
    starts.iter().zip(ends).map(|(&start, end)| film[start..end].to_vec()).collect()
}
