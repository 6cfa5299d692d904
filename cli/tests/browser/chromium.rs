//! Headless Chromium and its driver. It knows the page only as far as its grids have cells.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A process that ends with the test.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Chromium with a profile of its own.
pub struct Browser {
    pub client: Client,
    port: u16,
    session: String,
    _driver: Ended,
    _profile: TempDir,
}

impl Browser {
    /// None, said aloud, where there is no browser.
    pub async fn start() -> Option<Self> {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| is_installed(name));
        let (Some(chromium), true) = (chromium, is_installed("chromedriver")) else {
            let what = if chromium.is_none() { "Chromium" } else { "ChromeDriver" };
            assert!(env::var_os("REQUIRE_BROWSER").is_none(), "{what} is not installed");
            // Written past the capture of tests: a skip must be seen.
            let _ = writeln!(std::io::stderr(), "SKIPPED browser test: {what} is not installed");
            return None;
        };
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .expect("ChromeDriver says its port");
        let driver = Ended(driver);
        let profile = TempDir::new().expect("a folder");
        let folder = format!("--user-data-dir={}", profile.path().display());
        // Without a sandbox for root; and nothing that asks the network by itself.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1400,1020",
            &folder,
        ];
        let options = json!({"args": arguments, "binary": path_of(chromium)});
        let wanted = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        let session = client.session_id().await.expect("an answer").expect("a session");
        Some(Self { client, port, session, _driver: driver, _profile: profile })
    }

    /// A command that WebDriver has no name for.
    fn command(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST /session/{}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.session,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("ChromeDriver listens");
        stream.write_all(request.as_bytes()).expect("sent");
        // ChromeDriver keeps the connection, whatever it was asked: the length says where the answer ends.
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line.expect("a header").to_ascii_lowercase();
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the whole answer");
        let body = std::str::from_utf8(&body).expect("text");
        serde_json::from_str::<Value>(body).expect("JSON")["value"].take()
    }

    pub fn devtools(&self, name: &str, parameters: Value) {
        self.command("goog/cdp/execute", &json!({"cmd": name, "params": parameters}));
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    /// The value of a JavaScript expression.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}")).await
    }

    pub async fn wait_for(&self, expression: &str, wanted: impl Into<Value>) {
        let (wanted, start) = (wanted.into(), Instant::now());
        loop {
            let value = self.value(expression).await;
            if value == wanted {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{expression} is {value}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn goto(&self, address: &str) {
        self.client.goto(address).await.expect("the page loads");
    }

    /// Waits until a layer is shown.
    pub async fn shows(&self, query: &str) {
        self.wait_for("document.documentElement.dataset.shown", query).await;
        self.wait_for("document.getElementById('message').hidden", true).await;
    }

    pub async fn click(&self, selector: &str) {
        self.client.find(Locator::Css(selector)).await.expect(selector).click().await.expect(selector);
    }

    /// Moves the mouse to a place relative to the middle of an element.
    pub async fn hover(&self, selector: &str, [x, y]: [f64; 2]) {
        let script = format!("document.querySelector(`{selector}`).scrollIntoView({{block: 'center'}})");
        self.run(&script).await;
        let element = self.client.find(Locator::Css(selector)).await.expect(selector);
        let to = PointerAction::MoveToElement { element, duration: None, x, y };
        self.client.perform_actions(MouseActions::new("mouse".to_owned()).then(to)).await.expect("the mouse moves");
        self.settle().await;
    }

    /// Lights what the mouse points at: two frames later all is drawn.
    pub async fn settle(&self) {
        let script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(null)))";
        self.client.execute_async(script, Vec::new()).await.expect("frames are drawn");
    }

    pub async fn numbers(&self, expression: &str) -> Vec<usize> {
        let value = self.value(expression).await;
        let mut numbers: Vec<_> = value
            .as_array()
            .expect("a list")
            .iter()
            .map(|number| number.as_u64().expect("an index") as usize)
            .collect();
        numbers.sort_unstable();
        numbers
    }

    pub async fn lit(&self, panel: &str) -> Vec<usize> {
        self.numbers(&format!(
            "[...document.querySelectorAll('#{panel} .planes .cell.lit')].map(cell => +cell.dataset.index)"
        ))
        .await
    }

    pub async fn texts(&self, panel: &str) -> Vec<String> {
        let value = self
            .value(&format!("[...document.querySelectorAll('#{panel} .planes .cell')].map(cell => cell.textContent)"))
            .await;
        serde_json::from_value(value).expect("texts")
    }

    pub fn keep_picture(&self, name: &str) {
        let Some(folder) = env::var_os("SCREENSHOTS") else { return };
        let data =
            self.command("goog/cdp/execute", &json!({"cmd": "Page.captureScreenshot", "params": {}}))["data"].take();
        fs::write(Path::new(&folder).join(name), decoded(data.as_str().expect("base64"))).expect("the picture is kept");
    }

    /// Nothing was complained about on the console.
    pub fn expect_quiet(&self) {
        let log = self.command("se/log", &json!({"type": "browser"}));
        assert_eq!(log, json!([]), "the console is not empty");
    }
}

/// Base64 (RFC 4648), as ChromeDriver sends pictures.
fn decoded(text: &str) -> Vec<u8> {
    let digit =
        |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == c);
    let digits: Vec<_> = text.bytes().filter_map(digit).collect();
    let bits = |four: &[usize]| four.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
    digits.chunks(4).flat_map(|four| bits(four).to_be_bytes()[5..5 + four.len() - 1].to_vec()).collect()
}

fn path_of(name: &str) -> Option<String> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())?.to_str().map(str::to_owned)
}

fn is_installed(name: &str) -> bool {
    path_of(name).is_some()
}
