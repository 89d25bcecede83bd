//! Goal: a file is saved under the name of its camera, in its own letters.

use crate::{
    server::Server,
    site::{Site, at},
    wire::get,
};

#[test]
fn files_are_named_after_the_camera_in_its_own_letters() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let video = format!(
        "/api/v1/cameras/gate/video.mp4?from={}&to={}",
        at(1.0),
        at(2.5)
    );
    let name = server.get(&video).header("content-disposition").to_owned();
    let expected = "attachment; filename=\"Cong chinh_20261123T140001Z_20261123T140002.5Z.mp4\"; \
                    filename*=UTF-8''C%E1%BB%95ng%20ch%C3%ADnh_20261123T140001Z_20261123T140002.5Z.mp4";
    assert_eq!(name, expected);
    // Without an end the name tells that of the recording.
    let all = server.get("/api/v1/cameras/gate/video.mp4");
    let name = all.header("content-disposition").to_owned();
    assert!(
        name.contains("_20261123T140009.9") || name.contains("_20261123T140010"),
        "{name}"
    );
    let stretch = format!("/get?path=yard&start={}&duration=1", at(1.0));
    let name = get(server.mediamtx, &stretch)
        .header("content-disposition")
        .to_owned();
    assert_eq!(
        name,
        "inline; filename=\"Yard_20261123T140001Z_20261123T140002Z.mp4\""
    );
    let picture = format!("/api/v1/cameras/yard/frame?at={}&format=annexb", at(1.0));
    let name = server
        .get(&picture)
        .header("content-disposition")
        .to_owned();
    assert!(
        name.starts_with("inline; filename=\"yard_20261123T140000.00"),
        "{name}"
    );
    assert!(name.ends_with(".265\""), "{name}");
}
