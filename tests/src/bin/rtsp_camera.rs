//! A camera for tests: `rtsp_camera PORT LAUNCH [USER PASSWORD]` serves a launch line at `/cam`.
//!
//! Prints its port once it listens. A process of its own, so that a test can freeze or kill it.

use gstreamer as gst;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;

#[expect(clippy::print_stdout, reason = "the port is its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    gst::init()?;
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, launch, credentials @ ..] = arguments.as_slice() else {
        return Err("usage: rtsp_camera PORT LAUNCH [USER PASSWORD]".into());
    };
    let server = gst_rtsp_server::RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service(port);
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(launch);
    factory.set_shared(true);
    if let [user, password] = credentials {
        protect(&server, &factory, user, password);
    }
    server.mount_points().ok_or("no mount points")?.add_factory("/cam", factory);
    let _attached = server.attach(None)?;
    println!("{}", server.bound_port());
    gst::glib::MainLoop::new(None, false).run();
    Ok(())
}

/// Lets in one user alone.
fn protect(
    server: &gst_rtsp_server::RTSPServer,
    factory: &gst_rtsp_server::RTSPMediaFactory,
    user: &str,
    password: &str,
) {
    let auth = gst_rtsp_server::RTSPAuth::new();
    let token = gst_rtsp_server::RTSPToken::builder().field("media.factory.role", "user").build();
    auth.add_basic(&gst_rtsp_server::RTSPAuth::make_basic(user, password), &token);
    server.set_auth(Some(&auth));
    let role = gst::Structure::builder("user")
        .field("media.factory.access", true)
        .field("media.factory.construct", true)
        .build();
    factory.add_role_from_structure(&role);
}
