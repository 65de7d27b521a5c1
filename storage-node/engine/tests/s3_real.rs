//! The S3 client against a real server: versitygw, found by `STRATA_VERSITYGW` or on the `PATH`. Without it this prints what it lacks.
#![cfg(feature = "s3")]

use bytes::Bytes;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use strata_engine::objects::{
    Credentials, ErrorClass, Listed, ObjectError, Objects, Part, Range, Request, Response, S3Objects, S3Settings, Upload,
};

const ACCESS: &str = "strata-test";
const SECRET: &str = "a-secret-of-no-value";

/// A gateway on a folder; ends with the test.
struct Gateway {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test finds a tool of the machine it runs on")]
fn find_binary() -> Option<PathBuf> {
    let named = std::env::var_os("STRATA_VERSITYGW").map(PathBuf::from);
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    named.into_iter().chain(on_path.map(|folder| folder.join("versitygw"))).find(|candidate| candidate.is_file())
}

fn start(binary: &PathBuf) -> Gateway {
    let folder = tempfile::tempdir().expect("a folder for the gateway");
    std::fs::create_dir(folder.path().join("bucket")).expect("a folder is a bucket");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let process = Command::new(binary)
        .args(["--access", ACCESS, "--secret", SECRET, "--port", &free.to_string(), "posix"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway starts");
    let gateway = Gateway { process, address: free, _folder: folder };
    for _ in 0..500 {
        // Each attempt takes its time-out on a port that drops, and is refused at once on one that is closed.
        if TcpStream::connect_timeout(&free, Duration::from_millis(200)).is_ok() {
            return gateway;
        }
        let (_never, silence) = std::sync::mpsc::sync_channel::<()>(0);
        let _timed_out = silence.recv_timeout(Duration::from_millis(20));
    }
    panic!("the gateway does not listen on {free}")
}

fn settings(endpoint: String) -> S3Settings {
    S3Settings {
        endpoint,
        region: "us-east-1".into(),
        bucket: "bucket".into(),
        credentials: Credentials::Given { access_key_id: ACCESS.into(), secret_access_key: SECRET.into() },
        connect_timeout: Duration::from_secs(3),
        deadline: Duration::from_secs(10),
    }
}

async fn ask(settings: &S3Settings, request: Request) -> Result<Response, ObjectError> {
    S3Objects::new(settings.clone()).call(request).await
}

#[test]
fn a_real_store_answers_every_request() {
    let Some(binary) = find_binary() else {
        #[expect(clippy::print_stderr, reason = "a skipped part says what it lacks")]
        {
            eprintln!("skipped: no versitygw: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0, or set STRATA_VERSITYGW");
        }
        return;
    };
    let gateway = start(&binary);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let good = settings(format!("http://{}", gateway.address));
        check_objects(&good).await;
        check_lists(&good).await;
        check_parts(&good).await;
        check_failures(&good).await;
        check_rotation(&good).await;
    });
}

async fn check_objects(good: &S3Settings) {
    let store = S3Objects::new(good.clone());
    let text = Bytes::from("hello world");
    assert_eq!(store.call(Request::put("a/b", text.clone())).await, Ok(Response::Done));
    for (range, expected) in [
        (Range::All, "hello world"),
        (Range::From { offset: 6, length: 5 }, "world"),
        (Range::From { offset: 6, length: 500 }, "world"),
        (Range::From { offset: 11, length: 1 }, ""),
        (Range::Last(5), "world"),
        (Range::Last(500), "hello world"),
    ] {
        let got = store.call(Request::Get { key: "a/b".into(), range }).await;
        assert_eq!(got, Ok(Response::Bytes { bytes: expected.into(), size: 11 }), "{range:?}");
    }
    assert_eq!(store.call(Request::Head { key: "a/b".into() }).await, Ok(Response::Size { size: 11 }));
    assert_eq!(store.call(Request::put("empty", Bytes::new())).await, Ok(Response::Done));
    assert_eq!(store.call(Request::Head { key: "empty".into() }).await, Ok(Response::Size { size: 0 }));
    assert_eq!(store.call(Request::get("empty")).await, Ok(Response::Bytes { bytes: Bytes::new(), size: 0 }));
    assert_eq!(store.call(Request::Copy { from: "a/b".into(), to: "a/c".into() }).await, Ok(Response::Done));
    assert_eq!(store.call(Request::get("a/c")).await, Ok(Response::Bytes { bytes: text, size: 11 }));
    for _ in 0..2 {
        assert_eq!(store.call(Request::Delete { key: "a/c".into() }).await, Ok(Response::Done), "a second removal is no error");
    }
    for request in [Request::get("a/c"), Request::Head { key: "a/c".into() }, Request::get("a/b/c/d")] {
        let error = store.call(request).await.expect_err("there is none");
        assert_eq!(error.class, ErrorClass::NotFound, "{error}");
    }
    let error = store.call(Request::Put { key: "a/d".into(), bytes: "x".into(), crc32: 1 }).await.expect_err("another checksum");
    assert_eq!(error.class, ErrorClass::Damaged, "{error}");
}

async fn check_lists(good: &S3Settings) {
    let store = S3Objects::new(good.clone());
    let expected: Vec<Listed> = (0..1_050).map(|number| Listed { key: format!("list/{number:05}"), size: 1 }).collect();
    for listed in &expected {
        store.call(Request::put(listed.key.clone(), "x")).await.expect("it is put");
    }
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|last: &Listed| last.key.clone());
        match store.call(Request::List { prefix: "list/".into(), after }).await {
            Ok(Response::Page { objects, more }) => {
                found.extend(objects);
                if !more {
                    break;
                }
            }
            other => panic!("a page, not {other:?}"),
        }
    }
    assert_eq!(found, expected);
}

async fn check_parts(good: &S3Settings) {
    let store = S3Objects::new(good.clone());
    let key = || "parts/whole".to_owned();
    let begin = async || match store.call(Request::BeginUpload { key: key() }).await {
        Ok(Response::UploadBegun { upload }) => upload,
        other => panic!("an upload begins, not {other:?}"),
    };
    let upload = begin().await;
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    let mut whole = Vec::new();
    for (number, size) in [(1_u32, 5 << 20), (2, 5 << 20), (3, 77)] {
        let bytes = Bytes::from(vec![number as u8; size]);
        whole.extend_from_slice(&bytes);
        let crc32 = crc32_of(&bytes);
        match store.call(Request::PutPart { key: key(), upload: upload.clone(), number, bytes, crc32 }).await {
            Ok(Response::PartPut { part }) => drop(parts.insert(number, part)),
            other => panic!("a part is acknowledged, not {other:?}"),
        }
    }
    assert!(store.call(Request::get(key())).await.expect_err("not finished").is_not_found());
    let parts = parts.into_values().collect();
    assert_eq!(store.call(Request::FinishUpload { key: key(), upload, parts }).await, Ok(Response::Done));
    let size = whole.len() as u64;
    assert_eq!(store.call(Request::get(key())).await, Ok(Response::Bytes { bytes: whole.into(), size }));

    let left = begin().await;
    let list = || Request::ListUploads { prefix: "parts/".into(), after: None };
    let expected = vec![Upload { key: key(), upload: left.clone() }];
    assert_eq!(store.call(list()).await, Ok(Response::Uploads { uploads: expected, more: false }));
    for _ in 0..2 {
        assert_eq!(store.call(Request::AbortUpload { key: key(), upload: left.clone() }).await, Ok(Response::Done));
    }
    assert_eq!(store.call(list()).await, Ok(Response::Uploads { uploads: Vec::new(), more: false }));
}

fn crc32_of(bytes: &Bytes) -> u32 {
    match Request::put("", bytes.clone()) {
        Request::Put { crc32, .. } => crc32,
        other => panic!("a put, not {other:?}"),
    }
}

async fn check_failures(good: &S3Settings) {
    let with = |access: &str, secret: &str| Credentials::Given { access_key_id: access.into(), secret_access_key: secret.into() };
    let not_s3 = not_s3_at_all();
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port that nobody listens on");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port that accepts and says nothing");
    let silent_endpoint = format!("http://{}", silent.local_addr().expect("it has an address"));
    let cases = [
        (ErrorClass::AccessDenied, S3Settings { credentials: with("nobody", SECRET), ..good.clone() }),
        (ErrorClass::AccessDenied, S3Settings { credentials: with(ACCESS, "wrong"), ..good.clone() }),
        (ErrorClass::NoSuchBucket, S3Settings { bucket: "no-such-bucket".into(), ..good.clone() }),
        (ErrorClass::Unreachable, S3Settings { endpoint: format!("http://{closed}"), ..good.clone() }),
        (ErrorClass::Dns, S3Settings { endpoint: "http://no-such-host.invalid:7070".into(), ..good.clone() }),
        (ErrorClass::Tls, S3Settings { endpoint: good.endpoint.replace("http://", "https://"), ..good.clone() }),
        (ErrorClass::Timeout, S3Settings { endpoint: silent_endpoint, deadline: Duration::from_millis(500), ..good.clone() }),
        (ErrorClass::NotS3, S3Settings { endpoint: not_s3, ..good.clone() }),
    ];
    let mut wrong = Vec::new();
    for (expected, settings) in cases {
        let requests = [
            Request::get("a/b"),
            Request::get("none"),
            Request::Head { key: "none".into() },
            Request::put("x", "y"),
            Request::List { prefix: String::new(), after: None },
        ];
        for request in requests {
            let said = format!("{request:?}");
            match ask(&settings, request).await {
                Err(error) if error.class == expected => {}
                other => wrong.push(format!("expected {expected} for {said}: {other:?}")),
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    drop(silent);
}

/// A web server that answers everything with a page.
fn not_s3_at_all() -> String {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it has an address"));
    let serve = move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 64 << 10];
            let _length = stream.read(&mut request);
            let page = "<html><body>It works!</body></html>";
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}", page.len());
            let _sent = stream.write_all(answer.as_bytes());
        }
    };
    let server = std::thread::Builder::new().name("not-s3".into()).spawn(serve);
    drop(server.expect("a thread for the page; it ends with the test's process"));
    endpoint
}

async fn check_rotation(good: &S3Settings) {
    let folder = tempfile::tempdir().expect("a folder for credentials");
    let (access, secret) = (folder.path().join("access"), folder.path().join("secret"));
    let write = |path: &PathBuf, text: &str| std::fs::write(path, format!("{text}\n")).expect("a file is written");
    let credentials = Credentials::Files { access_key_id: access.clone(), secret_access_key: secret.clone() };
    let store = S3Objects::new(S3Settings { credentials, ..good.clone() });
    let denied = async || store.call(Request::get("a/b")).await.expect_err("not yet").class;
    assert_eq!(denied().await, ErrorClass::AccessDenied, "there are no files");
    write(&access, ACCESS);
    write(&secret, "old");
    assert_eq!(denied().await, ErrorClass::AccessDenied);
    write(&secret, SECRET);
    assert!(store.call(Request::get("a/b")).await.is_ok(), "rotated without a restart");
}
