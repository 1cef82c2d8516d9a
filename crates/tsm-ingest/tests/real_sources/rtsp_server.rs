//! A real RTSP server on a free port of loopback, in a thread of its own.

use std::thread::JoinHandle;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_rtsp_server as server;
use server::prelude::*;

/// Serves one launch line at `/cam` until dropped.
pub(crate) struct RtspServer {
    port: u16,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
}

impl RtspServer {
    /// Without a password.
    pub(crate) fn open(launch: &str) -> Self {
        Self::start(launch, None)
    }

    /// Asks for `user` and `password` (basic).
    pub(crate) fn protected(launch: &str, user: &str, password: &str) -> Self {
        Self::start(launch, Some((user, password)))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}{path}", self.port)
    }

    fn start(launch: &str, credentials: Option<(&str, &str)>) -> Self {
        tsm_ingest::init().expect("GStreamer starts");
        let server = server::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service("0");
        let factory = server::RTSPMediaFactory::new();
        factory.set_launch(launch);
        factory.set_shared(true);
        if let Some((user, password)) = credentials {
            let auth = server::RTSPAuth::new();
            let token = server::RTSPToken::builder().field("media.factory.role", "user").build();
            auth.add_basic(&server::RTSPAuth::make_basic(user, password), &token);
            server.set_auth(Some(&auth));
            let role = gst::Structure::builder("user")
                .field("media.factory.access", true)
                .field("media.factory.construct", true)
                .build();
            factory.add_role_from_structure(&role);
        }
        server.mount_points().expect("a server has mount points").add_factory("/cam", factory);
        let context = glib::MainContext::new();
        let _id = server.attach(Some(&context)).expect("a free port of loopback");
        let port = u16::try_from(server.bound_port()).expect("attached");
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let running = main_loop.clone();
        let thread = std::thread::spawn(move || running.run());
        Self { port, main_loop, thread: Some(thread) }
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
