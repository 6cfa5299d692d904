//! `convmat explore`: the server from outside, and exported pages. What the page does in a browser is in `tests/browser.rs`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::common::{Folder, Run};

/// A running explorer, ended with the test.
struct Explorer {
    process: Child,
    port: u16,
    /// What follows the `#` of the printed address.
    query: String,
}

impl Explorer {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_convmat"))
            .arg("explore")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("standard output is piped");
        BufReader::new(out).read_line(&mut line).expect("the address is printed");
        let address = line.trim().strip_prefix("http://127.0.0.1:").expect("an address on loopback");
        let (port, query) = address.split_once("/#").expect("a layer in the address");
        Self { port: port.parse().expect("a port"), query: query.to_owned(), process }
    }

    /// The answer to a request that is sent as it stands.
    fn whole(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the whole answer");
        answer
    }

    /// The same in two parts: status line with headers, and body.
    fn raw(&self, request: &str) -> (String, String) {
        let answer = String::from_utf8(self.whole(request)).expect("the answer is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        (head.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str, host: &str) -> (String, String) {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    /// The body of an answer to the page, whatever it is.
    fn bytes(&self, path: &str) -> Vec<u8> {
        let answer =
            self.whole(&format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", self.port));
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("head and body");
        answer[end + 4..].to_vec()
    }

    fn own(&self, path: &str) -> (String, String) {
        self.get(path, &format!("127.0.0.1:{}", self.port))
    }

    fn geometry(&self, query: &str) -> Value {
        let (head, body) = self.own(&format!("/api/geometry?{query}"));
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: application/json"), "{head}");
        serde_json::from_str(&body).expect("JSON")
    }
}

impl Drop for Explorer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_page_and_its_parts_are_served() {
    let explorer = Explorer::start(&["--input", "6x6", "--kernel", "3", "--stride", "2"]);
    assert_eq!(explorer.query, "input=6x6&kernel=3&stride=2");
    for (path, kind, text) in [
        ("/", "text/html", "data-start=\"input=6x6&amp;kernel=3&amp;stride=2\""),
        ("/style.css", "text/css", "prefers-color-scheme"),
        ("/script.js", "text/javascript", "\"use strict\""),
    ] {
        let (head, body) = explorer.own(path);
        assert!(head.starts_with("HTTP/1.1 200") && head.contains(kind) && body.contains(text), "{path}: {head}");
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{path} lacks {header}: {head}");
        }
    }
    assert!(explorer.own("/etc/passwd").0.starts_with("HTTP/1.1 404"));
    let post = format!("POST / HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", explorer.port);
    assert!(explorer.raw(&post).0.starts_with("HTTP/1.1 405"));
}

#[test]
fn answers_come_from_the_library() {
    let explorer = Explorer::start(&[]);
    assert_eq!(explorer.query, "input=5x5&kernel=3");
    let answer = explorer.geometry("transposed&input=2&kernel=2&stride=2&kernel-values=1,10");
    // C maps [0, 1, 2, 3] to [10, 32]; its transpose spreads them out again.
    assert_eq!(
        (&answer["large"], &answer["small"]),
        (&serde_json::json!([1, 1, 1, 4]), &serde_json::json!([1, 1, 1, 2]))
    );
    assert_eq!((&answer["y"], &answer["back"]), (&serde_json::json!([10, 32]), &serde_json::json!([10, 100, 32, 320])));
    assert_eq!(answer["counterpart"], "input=4&kernel=2&stride=2&kernel-values=1,10");
    for (query, complaint) in [
        ("input=3&kernel=5", "the output is empty along axis 0: input length 3, total padding 0, kernel extent 5"),
        ("input=3&kernel=two", "\"two\" is not a length"),
        ("input=100x100&kernel=3", "at most 1024 × 1024"),
        ("input=3&kernel=2&weights=/etc/passwd", "not from the page"),
        ("", "--input"),
    ] {
        let answer = explorer.geometry(query);
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains(complaint), "{error} lacks {complaint}");
    }
}

#[test]
fn very_many_weights_come_by_themselves() {
    let explorer = Explorer::start(&[]);
    let query = "input=1&kernel=1&in-channels=100&out-channels=50&seed=7";
    let answer = explorer.geometry(query);
    assert_eq!((&answer["w"], &answer["entries"]), (&Value::Null, &Value::from(5000)));
    let weights: Vec<f64> = explorer
        .bytes(&format!("/api/weights?{query}"))
        .chunks(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("whole numbers")))
        .collect();
    // y and Cᵀ·y that came with the answer are those of these weights.
    let numbers = |name: &str| -> Vec<f64> {
        answer[name].as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
    };
    let (x, y, back) = (numbers("x"), numbers("y"), numbers("back"));
    assert_eq!((weights.len(), x.len(), y.len()), (5000, 100, 50));
    for (row, y) in weights.chunks(100).zip(&y) {
        // Products of multiples of 2⁻²³ below 1 with numbers up to 4: sums of a hundred are exact.
        assert_eq!(row.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>(), *y);
    }
    for (column, back) in back.iter().enumerate() {
        let sum: f64 = y.iter().enumerate().map(|(row, y)| weights[100 * row + column] * y).sum();
        let terms: f64 = y.iter().map(|y| y.abs()).sum();
        assert!((sum - back).abs() <= 50.0 * f64::EPSILON * terms, "{column}: {sum} and {back}");
    }
    assert!(explorer.own("/api/weights?input=3&kernel=5").0.starts_with("HTTP/1.1 400"));
}

#[test]
fn foreign_hosts_are_refused() {
    let explorer = Explorer::start(&[]);
    let port = explorer.port;
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        assert!(explorer.get("/", &host).0.starts_with("HTTP/1.1 200"), "{host}");
    }
    for host in
        ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1".to_owned(), format!("[::1]:{port}")]
    {
        for path in ["/", "/api/geometry?input=3&kernel=2", "/api/weights?input=3&kernel=2", "/nothing"] {
            let (head, body) = explorer.get(path, &host);
            assert!(head.starts_with("HTTP/1.1 403") && !body.contains("rows"), "{host}{path}: {head}");
        }
    }
    assert!(explorer.raw("GET / HTTP/1.0\r\n\r\n").0.starts_with("HTTP/1.0 403"));
}

#[test]
fn clients_that_leave_do_no_harm() {
    let explorer = Explorer::start(&[]);
    for request in ["", "GET / HT", "GET /script.js HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "\0\r\n\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", explorer.port)).expect("the server listens");
        stream.write_all(request.as_bytes()).expect("a part is sent");
    }
    // One that says nothing and stays does not keep others waiting.
    let _silent = TcpStream::connect(("127.0.0.1", explorer.port)).expect("the server listens");
    assert!(explorer.own("/").0.starts_with("HTTP/1.1 200"));
}

#[test]
fn ports_that_cannot_be_had_are_one_line() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let run = Run::of(&["explore", "--port", &port]).fails(1, &format!("cannot listen on 127.0.0.1:{port}: "));
    assert!(run.err.contains("--port chooses another port") && run.out.is_empty(), "{}", run.err);
    Run::of(&["explore", "--port", "70000"]).fails(2, "70000 is not in 0..=65535");
    Run::of(&["explore", "--port", "http"]).fails(2, "invalid value 'http'");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it() {
    use std::os::unix::process::ExitStatusExt;
    // A program inherits that from a shell without job control which starts it in the background.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    if ignored.is_some_and(|signals| signals & 1 << 1 != 0) {
        eprintln!("skipped: interrupts are ignored here");
        return;
    }
    let mut explorer = Explorer::start(&[]);
    let id = explorer.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let status = explorer.process.wait().expect("it ends");
    assert_eq!(status.signal(), Some(2));
    assert!(TcpStream::connect(("127.0.0.1", explorer.port)).is_err());
}

#[test]
fn layers_that_cannot_be_explored_are_one_line() {
    for (arguments, complaint, code) in [
        ("--input 3 --kernel 5", "the output is empty along axis 0", 1),
        ("--input 64x64 --kernel 3", "a matrix of 3844 × 4096 is too large to explore; at most 1024 × 1024", 1),
        ("--input 4 --kernel 2 --kernel-values 1", "--kernel-values gives 1 numbers", 2),
        ("--input 4 --kernel 2 --weights w.txt", "neither FILE.npy nor", 2),
        ("--input 4 --force", "--export", 2),
        ("--input 4 --export-strides 1-2", "--export", 2),
        ("--export p.html --export-strides 3-1", "runs backwards", 2),
        ("--export p.html --open", "cannot be used with", 2),
    ] {
        let arguments: Vec<_> = ["explore"].into_iter().chain(arguments.split(' ')).collect();
        Run::of(&arguments).fails(code, complaint);
    }
}

#[test]
fn weights_of_a_file_travel_in_the_address() {
    let folder = Folder::new();
    let file = folder.path("w.npy");
    // NumPy's format, version 1: two weights 0.5 and −2 of shape (1, 1, 2).
    let header = format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 2), }");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0.5f64, -2.0].iter().flat_map(|weight| weight.to_le_bytes()));
    fs::write(&file, bytes).expect("a file");
    let explorer = Explorer::start(&["--input", "3", "--weights", &file]);
    assert_eq!(explorer.query, "input=3&kernel=2&in-channels=1&out-channels=1&kernel-values=0.5,-2");
    assert_eq!(explorer.geometry(&explorer.query)["y"], serde_json::json!([-2, -3.5]));
}

/// Ranges of few layers.
const FEW: [&str; 8] =
    ["--export-inputs", "3-4", "--export-kernels", "2", "--export-strides", "1-2", "--export-paddings", "0"];

fn export(path: &str, more: &[&str]) -> Run {
    Run::of(&[&["explore", "--export", path], more].concat())
}

#[test]
fn exported_pages_hold_everything() {
    let folder = Folder::new();
    let path = folder.path("page.html");
    export(&path, &FEW).succeeds().says("impossible and explained").says("page.html");
    let html = fs::read_to_string(&path).expect("the page");
    for absent in ["http://", "https://", "src=\"", "@import", "<link rel=\"stylesheet\""] {
        let found = html.replace("http://www.w3.org/2000/svg", "").contains(absent);
        assert!(!found, "the page has {absent}");
    }
    let data =
        html.split_once("id=\"answers\">").and_then(|(_, rest)| rest.split_once("</script>")).expect("the answers").0;
    let answers: Value = serde_json::from_str(data).expect("JSON");
    let found = &answers["queries"]["input=4x4&kernel=2&stride=2"];
    let operator = &answers["operators"][found["operator"].as_u64().expect("a number") as usize];
    let served = Explorer::start(&[]).geometry("input=4x4&kernel=2&stride=2");
    for name in ["rows", "patterns", "x", "y", "w", "back", "partial", "overlap"] {
        assert_eq!(operator[name], served[name], "{name}");
    }
    // Nothing is replaced unless wanted.
    export(&path, &FEW).fails(1, "--force");
    export(&path, &[&FEW[..], &["--force"]].concat()).succeeds();
    assert_eq!(folder.names().len(), 1);
}

#[test]
fn the_default_export_is_about_a_megabyte() {
    let folder = Folder::new();
    let path = folder.path("page.html");
    export(&path, &[]).succeeds();
    let bytes = fs::metadata(&path).expect("the page").len();
    assert!((300_000..1_500_000).contains(&bytes), "{bytes}");
}

#[test]
fn exports_beyond_the_limits_leave_nothing() {
    let folder = Folder::new();
    let path = folder.path("page.html");
    for (ranges, complaint) in [
        ("--export-inputs 1-1000000 --export-strides 1-99", "layers are too many for one file; at most 20000"),
        ("--export-inputs 0-18446744073709551615 --export-kernels 0-18446744073709551615", "layers are too many"),
        ("--export-inputs 20-32", "the page would have more than 4 MiB; narrow the --export ranges"),
    ] {
        export(&path, &ranges.split(' ').collect::<Vec<_>>()).fails(1, complaint);
        assert!(folder.names().is_empty());
    }
}

#[test]
fn exports_that_cannot_be_written_are_one_line() {
    let folder = Folder::new();
    export(&folder.path("no/such/folder/page.html"), &FEW).fails(1, "cannot write");
    export(folder.path("").as_str(), &FEW).fails(1, "it is a directory");
    let file = folder.path("file");
    fs::write(&file, "").expect("a file");
    // A file is no folder, whoever runs the tests.
    export(&format!("{file}/page.html"), &FEW).fails(1, "cannot write");
    assert_eq!(folder.names().len(), 1);
}

/// Where permissions bind: not for root.
#[cfg(unix)]
#[test]
fn read_only_folders_are_one_line() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let locked = folder.path("locked");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("permissions");
    let path = format!("{locked}/page.html");
    if fs::write(format!("{locked}/probe"), "").is_ok() {
        fs::remove_file(format!("{locked}/probe")).expect("the probe is removed");
        eprintln!("read_only_folders_are_one_line: skipped, this user may write everywhere");
        return;
    }
    export(&path, &FEW).fails(1, "Permission denied");
    assert_eq!(fs::read_dir(&locked).expect("the folder").count(), 0);
}

/// A browser is opened on request only, and one that cannot be is no failure.
#[cfg(target_os = "linux")]
#[test]
fn no_browser_is_no_failure() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_convmat"))
        .args(["explore", "--open"])
        .env("PATH", "")
        .env_remove("BROWSER")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let third = lines.nth(2).expect("a third line").expect("text");
    assert!(third.starts_with("No browser could be opened: "), "{third}");
    process.kill().expect("it still runs");
    process.wait().expect("it ends");
}
