//! A camera for tests: `rtsp_camera HOST PORT LAUNCH [basic|digest USER PASSWORD]` serves a launch line at `/cam`.
//!
//! Prints its port once it listens. A process of its own, so that a test can freeze or kill it, and so that a person
//! can run it in a network namespace whose link they cut.

use gstreamer as gst;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::gst_rtsp;
use gstreamer_rtsp_server::prelude::*;

#[expect(clippy::print_stdout, reason = "the port is its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    gst::init()?;
    let arguments: Vec<String> = std::env::args().collect();
    let [_, host, port, launch, credentials @ ..] = arguments.as_slice() else {
        return Err("usage: rtsp_camera HOST PORT LAUNCH [basic|digest USER PASSWORD]".into());
    };
    let server = gst_rtsp_server::RTSPServer::new();
    server.set_address(host);
    server.set_service(port);
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(launch);
    factory.set_shared(true);
    if let [scheme, user, password] = credentials {
        protect(&server, &factory, scheme, [user, password]);
    }
    server.mount_points().ok_or("no mount points")?.add_factory("/cam", factory);
    let _attached = server.attach(None)?;
    println!("{}", server.bound_port());
    gst::glib::MainLoop::new(None, false).run();
    Ok(())
}

/// Lets in one user alone, by the scheme `basic` or `digest`.
fn protect(
    server: &gst_rtsp_server::RTSPServer,
    factory: &gst_rtsp_server::RTSPMediaFactory,
    scheme: &str,
    [user, password]: [&str; 2],
) {
    let auth = gst_rtsp_server::RTSPAuth::new();
    let token = gst_rtsp_server::RTSPToken::builder().field("media.factory.role", "user").build();
    if scheme == "digest" {
        auth.set_supported_methods(gst_rtsp::RTSPAuthMethod::Digest);
        auth.add_digest(user, password, &token);
    } else {
        auth.add_basic(&gst_rtsp_server::RTSPAuth::make_basic(user, password), &token);
    }
    server.set_auth(Some(&auth));
    let role = gst::Structure::builder("user")
        .field("media.factory.access", true)
        .field("media.factory.construct", true)
        .build();
    factory.add_role_from_structure(&role);
}
