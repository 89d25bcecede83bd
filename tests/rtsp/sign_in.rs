//! Goal: who is not named does not see anything, and who is named gets in with the client he has. Method: ffmpeg and GStreamer (digest
//! with MD5, with and without a count), both also over TLS, and retina (SHA-256), each with the right password, a wrong one, and none.

use crate::{
    client::Client,
    harness::{NVRING, Site},
    rig::{Rig, cameras},
    shown::gst_succeeds,
};
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

const PASSWORD: &str = "h0use:of:Nga";

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("the file is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

fn ffmpeg(url: &str) -> Output {
    let args = [
        "30",
        "ffmpeg",
        "-v",
        "error",
        "-rtsp_transport",
        "tcp",
        "-i",
        url,
        "-map",
        "0:v",
        "-c",
        "copy",
        "-frames:v",
        "20",
        "-f",
        "null",
        "-",
    ];
    Command::new("timeout")
        .args(args)
        .output()
        .expect("ffmpeg runs: install it")
}

fn gst(url: &str, password: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (location, password) = (format!("location={url}"), format!("user-pw={password}"));
    // Nobody signed the certificate.
    let secure = "tls-validation-flags=0";
    let properties = [
        &*location,
        secure,
        "protocols=tcp",
        "user-id=nga",
        &password,
    ];
    gst_succeeds(&properties, &folder.path().join("pictures"))
}

fn retina(url: &str, password: Option<&str>) -> Result<(), Option<u16>> {
    use retina::client::{Credentials, Session, SessionOptions};
    let username = "nga".to_owned();
    let creds = password.map(|password| Credentials {
        username,
        password: password.to_owned(),
    });
    let url = url::Url::parse(url).expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let described = runtime.block_on(Session::describe(
        url,
        SessionOptions::default().creds(creds),
    ));
    described.map(drop).map_err(|error| error.status_code())
}

/// A certificate for this machine that nobody signed.
pub(crate) fn certificate(site: &Site) -> String {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("a certificate");
    write(&site.path("chain.pem"), &made.cert.pem(), 0o644);
    write(
        &site.path("key.pem"),
        &made.signing_key.serialize_pem(),
        0o600,
    );
    "tls_listen = \"127.0.0.1:0\"\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n".to_owned()
}

#[test]
fn each_client_signs_in_with_the_right_password_only() {
    let cameras = cameras(&["h264"]);
    let site = Site::new(8, 4 << 20);
    write(
        &site.path("users"),
        &format!("# the guard\nnga:{PASSWORD}\n"),
        0o600,
    );
    let more = format!("users_file = \"users\"\n{}", certificate(&site));
    let rig = Rig::start_at(site, &cameras.urls(), &more);
    let url = rig.url("cam0");
    let with = |scheme: &str, password: &str, address: &dyn std::fmt::Display| {
        format!(
            "{scheme}://nga:{}@{address}/cam0",
            password.replace(':', "%3A")
        )
    };
    let secure = rig.rtsps.expect("it listens with TLS");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(
                ffmpeg(&with("rtsp", PASSWORD, &rig.rtsp)).status.success(),
                "ffmpeg"
            )
        });
        scope.spawn(|| {
            let output = ffmpeg(&with("rtsps", PASSWORD, &secure));
            assert!(
                output.status.success(),
                "ffmpeg over TLS: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        });
        for wrong in [
            with("rtsp", "wrong", &rig.rtsp),
            with("rtsps", "wrong", &secure),
            url.clone(),
        ] {
            scope.spawn(move || {
                let output = ffmpeg(&wrong);
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(
                    !output.status.success() && text.contains("401"),
                    "{wrong}: {text}"
                );
            });
        }
        for address in [url.clone(), format!("rtsps://{secure}/cam0")] {
            scope.spawn(move || {
                let (seen, errors) = gst(&address, PASSWORD);
                assert!(seen, "GStreamer, {address}: {errors}");
            });
        }
        scope.spawn(|| {
            let (seen, errors) = gst(&url, "wrong");
            assert!(
                !seen && errors.contains("Unauthorized"),
                "GStreamer: {errors}"
            );
        });
    });
    assert_eq!(retina(&url, Some(PASSWORD)), Ok(()), "retina");
    assert_eq!(retina(&url, Some("wrong")), Err(Some(401)));
    assert_eq!(retina(&url, None), Err(Some(401)));
    assert_guesses_are_cut_off(&rig, &url);
    let status = rig.site.run(&["status", "--json"]).stdout;
    for text in [
        rig.site.log(),
        String::from_utf8_lossy(&status).into_owned(),
    ] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    rig.recorder.stop();
}

fn assert_guesses_are_cut_off(rig: &Rig, url: &str) {
    let cut_off = || {
        rig.recorder
            .metric("nvring_rtsp_ended_total{cause=\"abuse\"}")
    };
    let before = cut_off();
    let mut client = Client::connect(rig.rtsp);
    assert_eq!(client.request("OPTIONS", url, "").code, 200);
    let guess = "Authorization: Basic bmdhOmgwdXNlOm9mOk5nYQ==\r\n";
    for _ in 0..5 {
        assert_eq!(
            client.request("DESCRIBE", url, guess).code,
            401,
            "no password is taken where others can listen"
        );
    }
    assert!(client.answer().is_none(), "who guesses is cut off");
    assert_eq!(cut_off(), before + 1.0);
}

#[test]
fn a_list_of_users_that_others_can_read_or_nobody_can_is_refused_before_anything_is_recorded() {
    let site = Site::new(4, 1 << 20);
    let config = site.path("nvring.toml");
    let mut text = std::fs::read_to_string(&config).expect("the configuration");
    text.push_str("[rtsp]\nlisten = \"0.0.0.0:0\"\nusers_file = \"users\"\n");
    std::fs::write(&config, text).expect("the configuration is written");
    let refused = || {
        let mut command = Command::new("timeout");
        command
            .env("NVRING_CONFIG", &config)
            .args(["30", NVRING, "serve"]);
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused().contains("users: No such file"), "{}", refused());
    write(&site.path("users"), &format!("nga:{PASSWORD}\n"), 0o644);
    assert!(refused().contains("chmod 600"));
    write(
        &site.path("users"),
        &format!("nga:{PASSWORD}\nminh\n"),
        0o600,
    );
    let text = refused();
    assert!(
        text.contains("line 2") && !text.contains(PASSWORD),
        "{text}"
    );
}
