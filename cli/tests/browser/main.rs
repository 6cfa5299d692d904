//! `convmat explore` in a real browser: headless Chromium, driven through ChromeDriver.
//!
//! What lights up is compared with the library's own entries and with a literal loop over all pairs of pixels, on the page that
//! is served and on an exported file. Without Chromium and its driver the tests say so on stderr and pass; with
//! `REQUIRE_BROWSER=1` they fail instead. `SCREENSHOTS=FOLDER` keeps pictures of the page,
//! the README's `explore.png` among them.

mod chromium;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use chromium::{Browser, Ended};
use convmat::{Channels, Convolution, Geometry, Options};
use fantoccini::Locator;
use fantoccini::key::Key;
use ndarray::Array5;
use serde_json::json;
use tempfile::TempDir;

/// The explorer and its address without a layer.
fn explorer() -> (Ended, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_convmat"))
        .arg("explore")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("an address");
    let address = line.split_once('#').expect("a layer").0.to_owned();
    (Ended(process), address)
}

/// The entries (row, column, tap) of a square one-channel layer: the library's, which a literal loop confirms.
fn entries(large: usize, kernel: usize, stride: usize, padding: usize) -> Vec<[usize; 3]> {
    let options = Options::new().stride([stride; 2]).padding([padding; 2]);
    let channels = Channels { small: 1, large: 1 };
    let geometry = Geometry::convolution([large; 2], [kernel; 2], channels, &options).expect("a geometry");
    let small = geometry.small_size()[0];
    let c = Convolution::<f64, 2>::new(geometry, Array5::zeros(geometry.weight_shape())).expect("an operator");
    let of_library: Vec<_> = c.entries().map(|entry| [entry.row, entry.column, entry.weight]).collect();
    let mut literal = Vec::new();
    for row in 0..small * small {
        for column in 0..large * large {
            for tap in 0..kernel * kernel {
                let fits = |small: usize, tap: usize, large: usize| small * stride + tap == large + padding;
                if fits(row / small, tap / kernel, column / large) && fits(row % small, tap % kernel, column % large) {
                    literal.push([row, column, tap]);
                }
            }
        }
    }
    assert_eq!(of_library, literal);
    literal
}

fn sorted(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// Places in C whose colour is as bright as in the picture below. Copies are read: reading the page's own canvases warns.
const BRIGHT: &str = "(() => {
    const pixels = (id) => {
        const canvas = document.getElementById(id);
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const words = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        return (x, y) => words[y * canvas.width + x];
    };
    const [base, lit, columns] = [pixels('base'), pixels('lit'), view.operator.x.length];
    const found = [];
    for (let e = 0; e < view.matrix.row.length; e++) {
        const [x, y] = [view.matrix.column[e], view.matrix.row[e]].map(i => Math.floor((i + .2) * sheet.cell));
        if (base(x, y) === lit(x, y)) found.push(view.matrix.row[e] * columns + view.matrix.column[e]);
    }
    return found;
})()";

/// A page through all that a visitor does; the same for the served page and the exported one.
async fn visit(browser: &Browser, page: &str) {
    browser.goto(&format!("{page}#input=5x5&kernel=3&padding=1")).await;
    browser.shows("input=5x5&kernel=3&padding=1").await;

    // A change of the stride.
    browser.click("[aria-label='more stride']").await;
    browser.shows("input=5x5&kernel=3&stride=2&padding=1").await;
    assert!(
        browser
            .client
            .current_url()
            .await
            .expect("an address")
            .as_str()
            .ends_with("#input=5x5&kernel=3&stride=2&padding=1")
    );
    let entries = entries(5, 3, 2, 1);
    expect_lights(browser, &entries).await;

    // The switch: the roles change, the picture of the matrix does not.
    let picture = "document.getElementById('base').toDataURL()";
    let before = browser.value(picture).await;
    let roles = "[...document.querySelectorAll('.role')].map(role => role.textContent)";
    assert_eq!(browser.value(roles).await, json!(["input", "output"]));
    browser.click("#to-transposed").await;
    browser.shows("transposed&input=3x3&kernel=3&stride=2&padding=1").await;
    assert_eq!(browser.value(roles).await, json!(["output", "input"]));
    assert_eq!(browser.value(picture).await, before);
    expect_lights(browser, &entries).await;
    expect_scatter(browser, &entries).await;

    // The way back, by the browser's own button.
    browser.client.back().await.expect("back");
    browser.shows("input=5x5&kernel=3&stride=2&padding=1").await;
    expect_gather(browser, &entries).await;

    // A layer that cannot be.
    browser.run("location.hash = 'input=3x3&kernel=4'").await;
    let channels = Channels { small: 1, large: 1 };
    let error = Geometry::convolution([3, 3], [4, 4], channels, &Options::new()).expect_err("it is empty").to_string();
    browser.wait_for("document.getElementById('message').textContent", error).await;
    browser.client.back().await.expect("back");
    browser.shows("input=5x5&kernel=3&stride=2&padding=1").await;
    browser.expect_quiet();
}

/// Every kind of pointing lights what the entries say.
async fn expect_lights(browser: &Browser, entries: &[[usize; 3]]) {
    for row in [0, 4, 8] {
        browser.hover(&format!("#small .planes [data-index='{row}']"), [0., 0.]).await;
        let of_row = || entries.iter().filter(|entry| entry[0] == row);
        assert_eq!(browser.lit("large").await, sorted(of_row().map(|entry| entry[1])), "row {row}");
        assert_eq!(browser.lit("kernel").await, sorted(of_row().map(|entry| entry[2])), "row {row}");
        assert_eq!(browser.numbers(BRIGHT).await, sorted(of_row().map(|entry| entry[0] * 25 + entry[1])), "row {row}");
    }
    for column in [0, 7, 12] {
        browser.hover(&format!("#large .planes [data-index='{column}']"), [0., 0.]).await;
        let of_column = || entries.iter().filter(|entry| entry[1] == column);
        assert_eq!(browser.lit("small").await, sorted(of_column().map(|entry| entry[0])), "column {column}");
        assert_eq!(browser.lit("kernel").await, sorted(of_column().map(|entry| entry[2])), "column {column}");
        assert_eq!(browser.numbers(BRIGHT).await, sorted(of_column().map(|entry| entry[0] * 25 + entry[1])));
    }
    browser.hover("#kernel [data-index='5']", [0., 0.]).await;
    let of_tap = entries.iter().filter(|entry| entry[2] == 5);
    assert_eq!(browser.numbers(BRIGHT).await, sorted(of_tap.map(|entry| entry[0] * 25 + entry[1])));

    // One entry in the matrix: the last one of row 4, and the index relation with its numbers.
    let &[row, column, tap] = entries.iter().rfind(|entry| entry[0] == 4).expect("an entry");
    let size = browser.value("sheet.cell / sheet.ratio").await.as_f64().expect("pixels");
    let middle = |index: usize, count: f64| (index as f64 + 0.5 - count / 2.0) * size;
    browser.hover("#lit", [middle(column, 25.), middle(row, 9.)]).await;
    assert_eq!((browser.lit("small").await, browser.lit("large").await), (vec![row], vec![column]));
    assert_eq!(browser.lit("kernel").await, [tap]);
    let terms = browser.value("document.getElementById('terms').textContent").await;
    assert!(terms.as_str().expect("text").contains("1·2 + 2·1 − 1 = 3"), "{terms}");
}

/// The weights and the input that a page shows where none are given: 1, 2, … 9 and 0, 1, 2, 3, 4, 0, …
fn tensors(entries: &[[usize; 3]]) -> [Vec<i64>; 3] {
    let (w, x): (Vec<_>, Vec<_>) = ((1..=9).collect(), (0..25).map(|i| i % 5).collect());
    let mut y = vec![0; 9];
    for &[row, column, tap] in entries {
        y[row] += w[tap] * x[column];
    }
    [w, x, y]
}

/// The step mode of the transposed convolution: input after input is added.
async fn expect_scatter(browser: &Browser, entries: &[[usize; 3]]) {
    let [w, _, y] = tensors(entries);
    let mut sums = [0; 25];
    for (row, value) in y.iter().enumerate() {
        browser.click("#forward").await;
        for &[_, column, tap] in entries.iter().filter(|entry| entry[0] == row) {
            sums[column] += w[tap] * value;
        }
        assert_eq!(browser.texts("large").await, sums.iter().map(i64::to_string).collect::<Vec<_>>(), "step {row}");
        assert_eq!(
            browser.lit("large").await,
            sorted(entries.iter().filter(|entry| entry[0] == row).map(|entry| entry[1]))
        );
    }
    browser.click("#whole").await;
    assert_eq!(browser.texts("large").await, sums.iter().map(i64::to_string).collect::<Vec<_>>());
}

/// The step mode of the convolution: output after output is gathered, and played by the space bar.
async fn expect_gather(browser: &Browser, entries: &[[usize; 3]]) {
    let [_, x, y] = tensors(entries);
    assert_eq!(browser.texts("large").await, x.iter().map(i64::to_string).collect::<Vec<_>>());
    browser.click("#forward").await;
    browser.click("#forward").await;
    let shown = |row: usize, value: &i64| if row < 2 { value.to_string() } else { String::new() };
    assert_eq!(
        browser.texts("small").await,
        y.iter().enumerate().map(|(row, value)| shown(row, value)).collect::<Vec<_>>()
    );
    let cell = browser.client.find(Locator::Css("#small .planes [data-index='0']")).await.expect("a cell");
    cell.send_keys(" ").await.expect("a space");
    browser.wait_for("document.getElementById('progress').textContent", "3 of 9").await;
    cell.send_keys(&String::from(char::from(Key::Escape))).await.expect("escape");
    assert_eq!(browser.texts("small").await, y.iter().map(i64::to_string).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_served_page_lights_the_crates_own_entries() {
    let Some(browser) = Browser::start().await else { return };
    let (_explorer, page) = explorer();
    visit(&browser, &page).await;
    browser.client.close().await.expect("it closes");
}

#[tokio::test]
async fn an_exported_page_does_the_same_from_a_file() {
    let Some(browser) = Browser::start().await else { return };
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("page.html");
    let status = Command::new(env!("CARGO_BIN_EXE_convmat"))
        .args(["explore", "--kernel", "3", "--export"])
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .expect("the binary runs");
    assert!(status.success());
    let page = format!("file://{}", file.display());
    visit(&browser, &page).await;
    // What the file lacks is said.
    browser.run("location.hash = 'input=9x9&kernel=3'").await;
    browser
        .wait_for("document.getElementById('message').textContent.startsWith('This file has no such layer')", true)
        .await;
    browser.expect_quiet();
    browser.client.close().await.expect("it closes");
}

/// Cells of x that do not look as they rest, on its picture. A copy is read, as above.
const COLOURED: &str = "(() => {
    const { canvas, colours } = grids.large;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const words = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const corners = [...colours.keys()].map(i => grids.large.corner(i));
    return [...colours.keys()].filter(i => words[(corners[i][1] + 2) * canvas.width + corners[i][0] + 2] !== colours[i]);
})()";

#[tokio::test]
async fn cells_too_small_for_numbers_are_a_picture_that_lights_as_well() {
    let Some(browser) = Browser::start().await else { return };
    let (_explorer, page) = explorer();
    let layer = "input=20x20&kernel=3&stride=2&padding=1";
    browser.goto(&format!("{page}#{layer}")).await;
    browser.shows(layer).await;
    assert_eq!(browser.value("document.querySelectorAll('#large canvas').length").await, 1);
    let entries = entries(20, 3, 2, 1);
    for row in [0, 57, 99] {
        browser.hover(&format!("#small .planes [data-index='{row}']"), [0., 0.]).await;
        let of_row = entries.iter().filter(|entry| entry[0] == row);
        assert_eq!(browser.numbers(COLOURED).await, sorted(of_row.map(|entry| entry[1])), "row {row}");
    }
    for column in [0, 145, 399] {
        let side = browser.value("grids.large.cell / grids.large.ratio").await.as_f64().expect("pixels");
        let from_middle = |index: usize| (index as f64 - 9.5) * side;
        browser.hover("#large canvas", [from_middle(column % 20), from_middle(column / 20)]).await;
        let of_column = entries.iter().filter(|entry| entry[1] == column);
        assert_eq!(browser.lit("small").await, sorted(of_column.map(|entry| entry[0])), "column {column}");
        let headline = browser.value("document.getElementById('headline').textContent").await;
        let name = format!("x[{}, {}] = {}:", column / 20, column % 20, column % 5);
        assert!(headline.as_str().expect("text").starts_with(&name), "{headline} lacks {name}");
    }
    let picture = browser.client.find(Locator::Css("#large canvas")).await.expect("a picture");
    browser.hover("h1", [0., 0.]).await;
    for key in [Key::Right, Key::Down] {
        picture.send_keys(&String::from(char::from(key))).await.expect("a key");
    }
    browser.settle().await;
    let of_column = entries.iter().filter(|entry| entry[1] == 21);
    assert_eq!(browser.lit("small").await, sorted(of_column.map(|entry| entry[0])));

    // Very many weights come after the picture.
    let full = "input=1&kernel=1&in-channels=100&out-channels=50";
    browser.run(&format!("location.hash = '{full}'")).await;
    browser.shows(full).await;
    browser.wait_for("view.operator.w?.length", 5000).await;
    assert_eq!(browser.value("[0, 8, 9, 4999].map(weight)").await, json!(["1", "9", "1", "5"]));
    browser.expect_quiet();
    browser.client.close().await.expect("it closes");
}

#[tokio::test]
async fn keys_move_and_narrow_or_dark_screens_are_served_as_well() {
    let Some(browser) = Browser::start().await else { return };
    let (_explorer, page) = explorer();
    let layer = "input=6x6&kernel=3&stride=2&padding=1";
    let light = json!({"features": [{"name": "prefers-color-scheme", "value": "light"}]});
    browser.devtools("Emulation.setEmulatedMedia", light);
    browser.goto(&format!("{page}#{layer}")).await;
    browser.shows(layer).await;
    let first = browser.client.find(Locator::Css("#small .planes [data-index='0']")).await.expect("a cell");
    let [right, down] = [Key::Right, Key::Down].map(|key| String::from(char::from(key)));
    first.send_keys(&right).await.expect("a key");
    browser.client.active_element().await.expect("a cell").send_keys(&down).await.expect("a key");
    browser.settle().await;
    assert_eq!(browser.value("document.activeElement.dataset.index").await, "4");
    assert_eq!(browser.value("document.querySelector('#small .cell.focus').dataset.index").await, "4");
    assert_eq!(
        browser.lit("large").await,
        sorted(entries(6, 3, 2, 1).iter().filter(|entry| entry[0] == 4).map(|entry| entry[1]))
    );
    browser.keep_picture("explore.png");

    let background = "getComputedStyle(document.body).backgroundColor";
    let day = browser.value(background).await;
    browser.click("#theme").await;
    let night = browser.value(background).await;
    assert_ne!(night, day);
    browser.click("#theme").await;
    assert_eq!(browser.value(background).await, day);
    // The system's wish counts where nothing was chosen.
    browser.run("localStorage.clear()").await;
    browser.devtools(
        "Emulation.setEmulatedMedia",
        json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    browser.client.refresh().await.expect("it loads again");
    browser.shows(layer).await;
    assert_eq!(browser.value(background).await, night);
    browser.click("#to-transposed").await;
    browser.shows("transposed&input=3x3&kernel=3&stride=2&padding=1&output-padding=1").await;
    browser.hover("#large .planes [data-index='9']", [0., 0.]).await;
    browser.keep_picture("explore-dark.png");

    for (width, query) in [(360, layer), (360, "input=8x8&kernel=3&in-channels=2&out-channels=2"), (768, layer)] {
        let screen = json!({"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": true});
        browser.devtools("Emulation.setDeviceMetricsOverride", screen);
        browser.run(&format!("location.hash = '{query}'")).await;
        browser.shows(query).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        // Nothing sticks out, and buttons are as large as fingers want them.
        assert_eq!(browser.value("document.documentElement.scrollWidth").await, width, "{query}");
        let low = "[...document.querySelectorAll('button')].filter(button => button.offsetParent && button.offsetHeight < 30).length";
        assert_eq!(browser.value(low).await, 0);
        if (width, query) == (360, layer) {
            browser.hover("#small .planes [data-index='4']", [0., 0.]).await;
            browser.keep_picture("explore-phone.png");
        }
    }
    browser.expect_quiet();
    browser.client.close().await.expect("it closes");
}
